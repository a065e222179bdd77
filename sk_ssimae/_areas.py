"""Rectangles of an image: a slice of its rows and one of its columns."""

from collections.abc import Iterator

Area = tuple[slice, slice]


def whole_area(shape: tuple[int, ...]) -> Area:
    """Return the area of a whole image or grid."""
    return slice(0, shape[0]), slice(0, shape[1])


def shape_of(area: Area) -> tuple[int, int]:
    """Return the height and width of an area."""
    return area[0].stop - area[0].start, area[1].stop - area[1].start


def block_areas(shape: tuple[int, int], block_size: int) -> Iterator[Area]:
    """Divide an image into blocks, row by row; those at the far edges may be smaller."""
    height, width = shape
    for row in range(0, height, block_size):
        for column in range(0, width, block_size):
            yield (
                slice(row, min(row + block_size, height)),
                slice(column, min(column + block_size, width)),
            )


def with_halo(area: Area, halo: int, shape: tuple[int, int]) -> Area:
    """Extend an area by `halo` pixels on each side, within the image."""
    rows, columns = (
        slice(max(part.start - halo, 0), min(part.stop + halo, length))
        for part, length in zip(area, shape, strict=True)
    )
    return rows, columns


def within(area: Area, outer: Area) -> Area:
    """Return an area in the coordinates of another one that contains it."""
    rows, columns = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(area, outer, strict=True)
    )
    return rows, columns


def outside_of(area: Area, outer: Area) -> Area:
    """Return an area given in the coordinates of another one in those of the image."""
    rows, columns = (
        slice(part.start + around.start, part.stop + around.start)
        for part, around in zip(area, outer, strict=True)
    )
    return rows, columns


def overlap(area: Area, other: Area) -> Area | None:
    """Return the area that two have in common, None if there is none."""
    rows, columns = (
        slice(max(one.start, two.start), min(one.stop, two.stop))
        for one, two in zip(area, other, strict=True)
    )
    return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)
