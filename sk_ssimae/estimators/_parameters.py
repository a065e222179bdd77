"""The parameters of segmenters: the role of each, its checks, and completed signatures."""

import difflib
import inspect
import math
import os
import re
from enum import Enum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict

import joblib
import numpy as np
from sklearn.base import BaseEstimator

RandomState = int | np.random.RandomState | np.random.Generator | None


class ParametersButSmoothing(TypedDict, total=False):
    """Types of the parameters of all segmenters, for one with another default of `smoothing`."""

    image_size: int | tuple[int, int] | None
    intensity_range: Literal["auto", "dtype"] | tuple[float, float]
    alpha_channel: Literal["auto", "drop", "keep"]
    max_image_pixels: int | None
    images_in_memory: bool | Literal["auto"]
    random_state: RandomState
    threshold: Literal["image_fpr", "pixel_fpr"] | float
    target_fpr: float
    extent_threshold: Literal["half_peak", "pixel_fpr"] | float
    extent_fpr: float
    validation_fraction: float
    opening_diameter: int
    min_region_area: int
    memory: str | os.PathLike[str] | joblib.Memory | None


class SegmenterParameters(ParametersButSmoothing, total=False):
    """Types of the parameters of all segmenters, for ``**shared: Unpack[...]``."""

    smoothing: float | Literal["auto"]


class Role(Enum):
    """Part of the method that a parameter acts on, and so the consequence of a change.

    Attributes
    ----------
    NETWORK, TRAINING
        The parameter takes effect in `fit`. Prediction uses NETWORK parameters as of `fit`.
    INFERENCE, DECISION
        It takes effect at once and makes a threshold stale: call `calibrate`.
    MACHINE
        It changes no result, and files do not store it.
    """

    NETWORK = "network"
    TRAINING = "training"
    INFERENCE = "inference"
    DECISION = "decision"
    MACHINE = "machine"


class Parameter:
    """Role and allowed values of a parameter.

    Parameters
    ----------
    role : Role
        Role of the parameter.
    *constraints
        Allowed values, in scikit-learn's notation: types, None, ``Interval``, ``StrOptions``. A
        value needs to satisfy one of them; without any, all values are allowed.

    Raises
    ------
    TypeError
        If `role` is not a Role.
    """

    def __init__(self, role: Role, *constraints: Any) -> None:
        _check_role(role)
        self.role = role
        self.constraints = list(constraints)


class ParameterTable(BaseEstimator):
    """Estimator whose parameters stand in one table, each with its role and allowed values.

    A subclass lists its own parameters in ``parameters`` and passes ``**shared`` to its base. Its
    signature and docstring are completed with those of its bases, for scikit-learn, ``help`` and
    the documentation: ``{parameters}`` and ``{attributes}`` stand for those sections of the bases,
    without entries that the subclass has itself.

    Attributes
    ----------
    parameters : dict of Parameter
        All parameters by name, those of the bases first.
    """

    parameters: ClassVar[dict[str, Parameter]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _complete_signature(cls)
        # Python 3.11 would take that of __new__ for a class.
        _, *own = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(own)
        _complete_docstring(cls)
        table: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__):
            table |= vars(base).get("parameters", {})
        _check_table(cls, table)
        cls.parameters = table
        cls._parameter_constraints = {
            name: parameter.constraints
            for name, parameter in table.items()
            if parameter.constraints
        }

    def __new__(cls, *args: Any, **parameters: Any) -> Self:
        """Refuse unknown parameters here: Python would name the constructor of a base."""
        _check_names(cls, parameters)
        return super().__new__(cls)

    if not TYPE_CHECKING:  # It would hide misspelt attributes from type checkers.

        def __getattribute__(self, name: str) -> Any:
            """Return NumPy's numbers as Python's: arithmetic in their types would overflow.

            They are stored as given.
            """
            value = super().__getattribute__(name)
            is_parameter = isinstance(value, np.generic) and name in type(self).parameters
            return as_python_number(value) if is_parameter else value

    @classmethod
    def parameter_names(cls, *roles: Role) -> list[str]:
        """Return the names of the parameters that have one of the roles."""
        for role in roles:
            _check_role(role)
        return [name for name, parameter in cls.parameters.items() if parameter.role in roles]

    def check_parameters(self) -> None:
        """Check each parameter; a family extends it with rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        self._validate_params()


def check_image_size(image_size: Any, smallest: int) -> None:
    """Check the parameter `image_size`, which is not None.

    Raises
    ------
    ValueError
        If it is neither an integer nor a pair of them, or smaller than a patch.
    """
    sizes = np.atleast_1d(np.asarray(image_size))
    is_pair = isinstance(image_size, tuple) and len(image_size) == 2
    if sizes.dtype.kind not in "iu" or not (is_pair or isinstance(image_size, Integral)):
        raise ValueError(
            "image_size must be an integer, a tuple (height, width) of two, or None, got "
            f"{image_size!r} instead."
        )
    if sizes.min() < smallest:
        raise ValueError(
            f"image_size must be at least patch_size={smallest}, got {image_size!r} instead."
        )


def check_intensity_range(intensity_range: Any) -> None:
    """Check the parameter `intensity_range`, which is not a name.

    Raises
    ------
    ValueError
        If it is not a pair of finite numbers in ascending order.
    """
    is_pair = isinstance(intensity_range, tuple) and len(intensity_range) == 2
    if is_pair and all(isinstance(end, Real) for end in intensity_range):
        low, high = (float(end) for end in intensity_range)
        if -math.inf < low < high < math.inf:
            return
    raise ValueError(
        "intensity_range must be 'auto', 'dtype' or a tuple (low, high) of two ascending numbers, "
        f"got {intensity_range!r} instead."
    )


def as_pair(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return a checked `image_size` as height and width."""
    if image_size is None:
        return None
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    return int(height), int(width)


def as_python_number(value: Any) -> Any:
    """Return a number of NumPy as Python's int or float, and any other value unchanged."""
    kind = value.dtype.kind if isinstance(value, np.generic) else ""
    if kind == "f":
        return float(value)
    return int(value) if kind in ("i", "u") else value


def _check_names(cls: type[ParameterTable], given: dict[str, Any]) -> None:
    for name in given:
        if name in cls.parameters:
            continue
        nearest = difflib.get_close_matches(name, cls.parameters, n=1)
        remedy = f"Did you mean {nearest[0]!r}?" if nearest else f"See help({cls.__name__})."
        raise TypeError(f"{cls.__name__} has no parameter {name!r}. {remedy}")


def _check_role(role: Any) -> None:
    if not isinstance(role, Role):
        raise TypeError(f"role must be a Role, such as Role.TRAINING, got {role!r} instead.")


def _check_table(cls: type[BaseEstimator], table: dict[str, Parameter]) -> None:
    names = {*cls._get_param_names()}
    unlisted, unknown = sorted(names - {*table}), sorted({*table} - names)
    wrong = [name for name, parameter in table.items() if not isinstance(parameter, Parameter)]
    if unlisted or wrong:
        raise TypeError(
            f"{cls.__name__} must list its parameters {unlisted + wrong} in the class attribute "
            "`parameters`, each as Parameter(role, *constraints)."
        )
    if unknown:
        raise TypeError(
            f"{cls.__name__} must not list {unknown} in the class attribute `parameters`: its "
            "constructor has no such parameters."
        )


def _complete_signature(cls: type) -> None:
    """Replace ``**shared`` in the signature of a constructor by the parameters of the bases."""
    if "__init__" not in vars(cls):
        inherited: Any = cls.__init__  # type: ignore[misc]  # read, not called
        if hasattr(inherited, "__signature__") or not _passes_on(inherited):
            return

        # The constructor of a mixin, which serves other classes too: this class needs its own.
        def __init__(self: Any, **parameters: Any) -> None:  # noqa: N807
            super(owner, self).__init__(**parameters)

        owner: Any = cls
        owner.__init__ = __init__
    constructors = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    completed: dict[str, inspect.Parameter] = {}
    for constructor in constructors:
        for parameter in _own_parameters(constructor)[1:]:
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                is_own = constructor is constructors[0]
                kind = parameter.kind if is_own else inspect.Parameter.KEYWORD_ONLY
                completed.setdefault(parameter.name, parameter.replace(kind=kind))
        if not _passes_on(constructor):
            break
    first = _own_parameters(constructors[0])[:1]
    constructors[0].__own_parameters__ = _own_parameters(constructors[0])
    constructors[0].__signature__ = inspect.Signature([*first, *completed.values()])


def _own_parameters(constructor: Any) -> list[inspect.Parameter]:
    """Return the parameters that a constructor names itself, whether or not it was completed."""
    if hasattr(constructor, "__own_parameters__"):
        return list(constructor.__own_parameters__)
    return list(inspect.signature(constructor).parameters.values())


def _passes_on(constructor: Any) -> bool:
    """Tell whether a constructor takes further parameters, for its base."""
    kinds = [parameter.kind for parameter in _own_parameters(constructor)]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _complete_docstring(cls: type) -> None:
    """Fill in ``{parameters}`` and ``{attributes}``: those sections of the bases."""
    if not vars(cls).get("__doc__"):
        return
    # Python 3.13 removes the indentation by itself.
    documentation = inspect.cleandoc(str(cls.__doc__))
    own = {*re.findall(r"^(\w+) : ", documentation, re.MULTILINE)}
    for title in ("Parameters", "Attributes"):
        sections = [_section(base, title) for base in cls.__bases__]
        shared = "\n".join(dict.fromkeys(section for section in sections if section))
        entries = re.split(r"\n(?=\S)", shared)
        shared = "\n".join(e for e in entries if e.partition(" : ")[0] not in own)
        documentation = documentation.replace(f"{{{title.lower()}}}", shared)
    cls.__doc__ = documentation


def _section(cls: type, title: str) -> str:
    """Return the body of a section of a docstring in numpydoc's form."""
    documentation = inspect.cleandoc(str(vars(cls).get("__doc__") or ""))
    _, found, rest = f"\n{documentation}".partition(f"\n{title}\n{'-' * len(title)}\n")
    if not found:
        return "\n".join(_section(base, title) for base in cls.__bases__).strip("\n")
    return re.split(r"\n\n[A-Z][A-Za-z ]*\n-{3,}\n", rest)[0].strip("\n")
