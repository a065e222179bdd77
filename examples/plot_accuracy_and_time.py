"""
How accurate is each method, and how long does it train?
========================================================

Results on real images, as recorded by ``benchmarks/methods.py``: PRO AUC against the time of
training, means over seeds. This example reads ``benchmarks/results/methods_summary.csv`` of a
checkout.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt

with Path("../benchmarks/results/methods_summary.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
for index, row in enumerate(rows):  # The name of a data set is given once.
    row["set"] = row["set"] or rows[index - 1]["set"]

# %%
# One panel a data set: the higher and the further left, the better. Dictionaries train in seconds,
# autoencoders in minutes; the ensemble contains an autoencoder and takes about as long. Runs whose
# time is not known are left out.

names = list(dict.fromkeys(row["set"] for row in rows))
methods = list(dict.fromkeys(row["method"] for row in rows))
n_rows = -(-len(names) // 4)
fig, axes = plt.subplots(
    n_rows, 4, figsize=(11, 2.8 * n_rows), layout="constrained", sharex=True, squeeze=False
)
for ax, name in zip(axes.flat, names, strict=False):
    for index, method in enumerate(methods):
        points = [row for row in rows if (row["set"], row["method"]) == (name, method)]
        for row in points:
            if row["fit, s"]:
                minutes = float(row["fit, s"]) / 60
                ax.scatter(minutes, float(row["PRO"]), color=f"C{index}", label=method)
    ax.set_title(name)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
for ax in axes.flat[len(names) :]:
    ax.set_axis_off()
fig.supxlabel("minutes of training")
fig.supylabel("PRO AUC")
entries = {
    label: handle
    for ax in axes.flat
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
}
fig.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4)

# %%
# How long must the autoencoder of the ensemble train? On nanofibres, one core passes the 0.966 of
# the paper in less than two minutes, and still gains after ten.

with Path("../benchmarks/results/studies/minutes.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
minutes = [float(row["training_seconds"]) / 60 for row in rows]
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for label, column in (("pixel ROC AUC", "pixel_roc_auc"), ("PRO AUC", "pro_auc")):
    ax.plot(minutes, [float(row[column]) for row in rows], "o-", label=label)
ax.axhline(0.966, color="grey", linestyle=":", label="pixel ROC AUC of the paper")
ax.set(xlabel="minutes of training on one core", ylim=(0.78, 1))
ax.legend()
