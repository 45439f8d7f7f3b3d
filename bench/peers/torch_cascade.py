"""The MSALDS-UNet cascade of src/kits in PyTorch on the CPU: the yardstick for our own training at equal settings, data,
split and number of images.

    python3 bench/peers/torch_cascade.py --run RUN --seeds 0,1,2 --out FILE.json [--threads 4] [--set masses.epochs=4]

RUN is the folder of a finished run: settings, data and split are those of its run.json. A coarse Res-UNet finds kidneys
and masses on full slices; MSALDS-UNets then segment kidney, masses and tumor in regions of interest (ROIs) cut from finer
slices; the masks are composed and the largest components kept. Seeds change weights, sampling and augmentation, not the
split. Dice is per case, in 3-D, on the scan's own grid: kidney = any label, masses = labels 2 and 3, tumor = label 2;
the coarse network alone takes every mass for a tumor. "regions" and "join" are the two uses of the coarse masks
(option coarseMasks), from the same networks. Needs torch, numpy, scipy and nibabel.
"""
import argparse
import copy
import glob
import json
import os
import time

import nibabel
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from torch_msalds import Discriminator, UNet, dice_cross_entropy, discriminator_loss, generator_loss

STAGES = ("kidney", "masses", "tumor")
REGIONS = {"kidney": (1, 2, 3), "masses": (2, 3), "tumor": (2,)}  # the labels of each region
# Settings of a run that this script has in one form only.
COARSE_ONLY = {"model": "resunet", "init": "pytorch", "prior": True, "schedule": "cosine"}
FINE_ONLY = {"init": "pytorch", "prior": True, "schedule": "cosine", "detachDifficulty": True, "legacyScalarCE": False,
             "discriminatorInput": "softmax", "forward": "shared", "sharedLastDiscriminator": False}


def parse(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", required=True, help="folder with run.json")
    p.add_argument("--data", help="folder with the cases, where it is not that of run.json")
    p.add_argument("--seeds", default="0,1,2")
    p.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="another setting than the run's")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--out")
    return p.parse_args(argv)


def settings(facts, changes):
    """The run's options with `changes`; ValueError for what this script cannot do."""
    options = copy.deepcopy(facts["options"])
    for change in changes:
        path, value = change.split("=", 1)
        at, *names = options, *path.split(".")
        for name in names[:-1]:
            at = at[name]
        if names[-1] not in at:
            raise ValueError(f"--set {path}: no such setting in run.json")
        at[names[-1]] = json.loads(value) if not isinstance(at[names[-1]], str) else value
    for stage, only in (("coarse", COARSE_ONLY), *((stage, FINE_ONLY) for stage in STAGES)):
        for name, value in only.items():
            if options[stage][name] != value:
                raise ValueError(f"{stage}.{name} must be {value} here, not {options[stage][name]}")
        if not isinstance(options[stage]["slicesPerEpoch"], int):
            raise ValueError(f"{stage}.slicesPerEpoch must be a number here")
    return options


# --- data ---------------------------------------------------------------------------------------------------------

def axis_filter(n, m, antialias):
    """[m, n] weights from n source pixels to m: antialiased bilinear (src/kits/downsample.ts), or covered area."""
    scale, source, target = n / m, np.arange(n), np.arange(m)[:, None]
    if antialias:
        width = max(scale, 1)
        w = np.maximum(0, 1 - np.abs(source + 0.5 - (target + 0.5) * scale) / width)
    else:
        w = np.maximum(0, np.minimum(source + 1, (target + 1) * scale) - np.maximum(source, target * scale))
    return w / w.sum(1, keepdims=True)


def resize_images(x, size):
    a, b = (axis_filter(n, size, True) for n in x.shape[1:])
    return np.round(a @ x @ b.T).astype(np.float32) / 255


def resize_labels(y, size):
    a, b = (axis_filter(n, size, False) for n in y.shape[1:])
    out, shown = np.zeros((len(y), size, size), np.uint8), y.any((1, 2))
    area = np.stack([a @ (y[shown] == label).astype(float) @ b.T for label in range(4)])
    out[shown] = 3 - np.argmax(np.round(area[::-1], 9), 0)  # the higher label on a tie
    return out


class Data:
    """Slices of all cases one after the other, at the coarse and the source size, and labels on the scan's grid."""

    def __init__(self, folder, sizes, window, level):
        self.range, self.labels, self.images, self.masks = {}, {}, {s: [] for s in sizes}, {s: [] for s in sizes}
        first, low = 0, level - window / 2
        for path in sorted(glob.glob(os.path.join(folder, "case_*", "imaging.nii.gz"))):
            case = os.path.basename(os.path.dirname(path))
            hu = np.asarray(nibabel.load(path).dataobj, np.float64)
            label = np.asarray(nibabel.load(path.replace("imaging", "segmentation")).dataobj).astype(np.uint8)
            grey = (np.clip(hu, low, low + window) - low) * (255 / window)
            for s in sizes:
                self.images[s].append(resize_images(grey, s))
                self.masks[s].append(resize_labels(label, s))
            self.labels[case] = label
            self.range[case] = (first, first + len(label))
            first += len(label)
        self.count = first
        self.images = {s: torch.from_numpy(np.concatenate(v)) for s, v in self.images.items()}
        self.masks = {s: torch.from_numpy(np.concatenate(v)) for s, v in self.masks.items()}
        self.present = np.concatenate(
            [np.stack([(v == k).any((1, 2)) for k in range(4)], 1) for v in self.labels.values()])  # [slices, 4 labels]

    def slices(self, cases):
        return np.concatenate([np.arange(*self.range[c]) for c in cases])

    def stack(self, size, slices, channels):
        """[n, channels, size, size]: the grey slice, repeated."""
        return self.images[size][torch.from_numpy(slices)][:, None].expand(-1, channels, -1, -1)


# --- regions of interest: (y, x, side) in fractions of the slice, NaN for none ------------------------------------

def mask_box(mask, min_pixels=0):
    """(top, left, bottom, right) in fractions, or None."""
    if min_pixels and mask.any():
        parts, n = ndimage.label(mask, np.ones((3, 3)))
        mask = np.isin(parts, 1 + np.flatnonzero(ndimage.sum(mask, parts, range(1, n + 1)) >= min_pixels))
    if not mask.any():
        return None
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    h, w = mask.shape
    return np.array([y[0] / h, x[0] / w, (y[-1] + 1) / h, (x[-1] + 1) / w])


def union(boxes):
    found = [b for b in boxes if b is not None]
    return np.concatenate([np.min(found, 0)[:2], np.max(found, 0)[2:]]) if found else None


def square(box, margin):
    side = max(box[2] - box[0], box[3] - box[1]) + 2 * margin
    return np.array([(box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2, side])


def case_rois(masks, roi, fallback=None, min_area=0):
    """[S, 3] for the masks [S, H, W] of one case; without `fallback` only slices with a mask have one."""
    boxes = [mask_box(m, round(min_area * m.size)) for m in masks]
    out = np.full((len(masks), 3), np.nan)
    whole = union(boxes)
    for s, box in enumerate(boxes):
        if box is None and fallback is not None:
            box = union(boxes[max(0, s - roi["neighbours"]): s + roi["neighbours"] + 1])
            box = whole if box is None else box
        if box is not None:
            out[s] = square(box, roi["margin"])
        elif fallback is not None:
            out[s] = fallback[s]
    return out


def stage_rois(volumes, roi, min_area=0):
    """Kidney and masses ROIs [S, 3] of one case from its labels [S, H, W] (0, 1 kidney, above 1 masses)."""
    full = np.tile([0.0, 0.0, 1.0], (len(volumes), 1))
    tumor = case_rois(volumes > 1, roi)
    if roi["from"] == "none":
        return {"kidney": full, "masses": full, "tumor": tumor}
    kidney = case_rois(volumes > 0, roi, full, min_area)
    return {"kidney": kidney, "masses": case_rois(volumes > 1, roi, kidney, min_area), "tumor": tumor}


def cut(source, boxes, size, matrix=None, mode="bilinear"):
    """[n, C, H, W] to [n, C, size, size]; `matrix` [n, 2, 2] rotates and mirrors about the ROI's centre."""
    y, x, side = (torch.from_numpy(boxes[:, i]).float() for i in range(3))
    matrix = torch.eye(2).expand(len(side), 2, 2) if matrix is None else matrix
    theta = torch.cat([side[:, None, None] * matrix,
                       torch.stack([2 * x + side - 1, 2 * y + side - 1], 1)[:, :, None]], 2)
    grid = F.affine_grid(theta, (len(side), 1, size, size), align_corners=False)
    return F.grid_sample(source, grid, mode=mode, align_corners=False)


def paste(p, boxes, height, width):
    """[n, R, R] in the boxes to [n, height, width], bilinear, 0 outside the box."""
    y, x, side = (torch.from_numpy(boxes[:, i]).float() for i in range(3))
    theta = torch.stack([torch.stack([1 / side, 0 * side, (1 - 2 * x - side) / side], 1),
                         torch.stack([0 * side, 1 / side, (1 - 2 * y - side) / side], 1)], 1)
    grid = F.affine_grid(theta, (len(side), 1, height, width), align_corners=False)
    out = F.grid_sample(p[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return out * (grid.abs() <= 1).all(-1)


# --- training -----------------------------------------------------------------------------------------------------

def draw(rng, pool, count):
    out = np.array([], int)
    while len(out) < count and len(pool):
        out = np.concatenate([out, rng.permutation(pool)[: count - len(out)]])
    return out


def epoch_slices(rng, pool, positive, count, foreground):
    wanted = round(count * foreground) if positive.any() else 0
    return rng.permutation(np.concatenate([draw(rng, pool[positive], wanted), draw(rng, pool, count - wanted)]))


def motions(rng, n, augment):
    degrees = rng.uniform(-1, 1, n) * augment["maxDegrees"]
    angle = np.where(rng.rand(n) < augment["rotate"], degrees, 0) * np.pi / 180
    fx, fy = (np.where(rng.rand(n) < augment[p], -1, 1) for p in ("mirrorHorizontal", "mirrorVertical"))
    c, s = np.cos(angle), np.sin(angle)
    return torch.from_numpy(np.stack([np.stack([c * fx, -s * fy], 1), np.stack([s * fx, c * fy], 1)], 1)).float()


def add_noise(rng, x, augment):
    shape, half = (len(x), 1, 1, 1), augment["saltPepperAmount"] / 2
    u = torch.from_numpy(rng.rand(*x.shape).astype(np.float32))
    spots = torch.from_numpy(rng.rand(*shape) < augment["saltPepper"])
    x = torch.where(spots & (u < half), torch.zeros(()), torch.where(spots & (u > 1 - half), torch.ones(()), x))
    sigma = torch.from_numpy((rng.rand(*shape) < augment["noise"]) * rng.rand(*shape) * augment["noiseSigma"] / 255)
    return (x + sigma.float() * torch.from_numpy(rng.randn(*x.shape).astype(np.float32))).clamp(0, 1)


def jittered(rng, boxes, jitter):
    n = len(boxes)
    side = boxes[:, 2] * rng.uniform(1 - jitter, 1 + 2 * jitter, n)
    centre = boxes[:, :2] + boxes[:, 2:] / 2 + rng.uniform(-jitter, jitter, (n, 2)) * boxes[:, 2:]
    return np.concatenate([centre - side[:, None] / 2, side[:, None]], 1)


def batch_of(data, o, size, slices, boxes, classes, rng=None):
    """x [n, channels, R, R] and the target [n, R, R] from slices of `size`; with `rng` augmented. `classes` [4]: the
    class of each label."""
    matrix = motions(rng, len(slices), o["augment"]) if rng else None
    x = cut(data.stack(size, slices, o["channels"]), boxes, o["size"], matrix)
    y = cut(data.masks[size][slices][:, None].float(), boxes, o["size"], matrix, "nearest")[:, 0].long()
    return (add_noise(rng, x, o["augment"]) if rng else x), classes[y]


def batches(slices, boxes, size):
    for i in range(0, len(slices), size):
        if len(slices) - i > 1 or i == 0:  # batch norm learns nothing from one small image
            yield slices[i:i + size], boxes[i:i + size]


def fit(net, critics, data, o, seed, *, size, classes, train, validation, positive, start_from=None, log=None):
    """Trains in place with a stage's options; returns seconds and the history.

    `start_from`: weights of another network, taken wherever names and shapes agree.
    `train`: (slices, function of (rng, slices) that gives their boxes); `positive`: which of them show a target.
    `validation`: (slices, boxes). `critics`: a discriminator or None for each scale.
    """
    start, rng, history, best, chosen = time.time(), np.random.RandomState(seed + 1), [], None, np.inf
    pool, boxes_of = train
    epochs, images, foreground = o["epochs"], o["slicesPerEpoch"], o["foreground"]
    adam = torch.optim.Adam(net.parameters(), lr=o["lr"])
    live = [d for d in critics if d is not None]
    adam_d = torch.optim.Adam([p for d in live for p in d.parameters()], lr=o["discriminatorLr"]) if live else None
    slices = epoch_slices(rng, pool, positive, min(images, 256), foreground)
    sample = batch_of(data, o, size, slices, boxes_of(rng, slices), classes)[1]
    net.set_prior(torch.bincount(sample.flatten(), minlength=int(classes.max()) + 1).tolist())
    if start_from:
        own = net.state_dict()
        fitting = {k: v for k, v in start_from.items() if k in own and own[k].shape == v.shape}
        net.load_state_dict(fitting, strict=False)
    for epoch in range(epochs):
        for group in filter(None, (adam, adam_d)):
            base = o["lr"] if group is adam else o["discriminatorLr"]
            group.param_groups[0]["lr"] = base * (1 + np.cos(np.pi * epoch / epochs)) / 2
        net.train()
        slices, sums = epoch_slices(rng, pool, positive, images, foreground), np.zeros(4)
        for s, b in full_batches(slices, boxes_of(rng, slices), o["batch"]):
            x, y = batch_of(data, o, size, s, b, classes, rng)
            logits, confidence = net(x, scales=len(critics) > 1)[:len(critics)], []
            if live:
                loss_d, confidence = discriminator_loss(x, logits, y, critics)
                adam_d.zero_grad()
                loss_d.backward()
                adam_d.step()
                for d in live:
                    d.requires_grad_(False)
            loss = generator_loss(x, logits, y, critics, o.get("adversarialWeight", 0), o.get("power", 2),
                                  o.get("difficulty", False))
            adam.zero_grad()
            loss.backward()
            adam.step()
            for d in live:
                d.requires_grad_(True)
            sums += [float(loss), *(np.mean(confidence, 0) if confidence else (0, 0)), 1]
        score = validate(net, data, o, size, classes, validation)
        history.append({"epoch": epoch + 1, "trainLoss": sums[0] / sums[3], "confidenceLabel": sums[1] / sums[3],
                        "confidencePrediction": sums[2] / sums[3], **score})
        if log:
            log(history[-1])
        if score["loss"] < chosen:
            chosen, best = score["loss"], copy.deepcopy(net.state_dict())
    net.load_state_dict(best)
    net.eval()
    return time.time() - start, history


def full_batches(slices, boxes, size):
    """Full batches only, unless there is no other, as src/kits/train.ts."""
    whole = max(size, len(slices) - len(slices) % size)
    return batches(slices[:whole], boxes[:whole], size)


def validation_slices(slices, positive, limit):
    """All, or `limit` of them, half with the target, spread evenly, as src/kits/train.ts."""
    if limit == 0 or len(slices) <= limit:
        return slices

    def spread(items, count):
        n = min(count, len(items))
        return items[((np.arange(n) + 0.5) * len(items) / max(n, 1)).astype(int)]

    shown = spread(slices[positive], (limit + 1) // 2)
    return np.sort(np.concatenate([shown, spread(np.setdiff1d(slices, shown), limit - len(shown))]))


def validate(net, data, o, size, classes, validation):
    """Dice + cross entropy, and Dice over all validation pixels of the classes above 0 (class k: at least k)."""
    net.eval()
    n, total, counts = int(classes.max()) + 1, 0.0, np.zeros((int(classes.max()), 2))
    with torch.no_grad():
        for s, b in batches(*validation, o["batch"]):
            x, y = batch_of(data, o, size, s, b, classes)
            z = net(x, scales=False)[0]
            total += float(dice_cross_entropy(z, y)) * len(s)
            hard = z.argmax(1)
            counts += [[2 * int(((hard >= k) & (y >= k)).sum()), int((hard >= k).sum() + (y >= k).sum())]
                       for k in range(1, n)]
    return {"loss": total / len(validation[0]), "dice": [float(a / max(b, 1)) for a, b in counts]}


# --- prediction and scores ----------------------------------------------------------------------------------------

def probabilities(net, data, o, size, case, boxes):
    """Softmax of one case pasted on its own grid, [classes, S, H, W]; 0 in slices without a box."""
    first, last = data.range[case]
    _, height, width = data.labels[case].shape
    valid = np.flatnonzero(~np.isnan(boxes[:, 0]))
    out = None
    with torch.no_grad():
        for i in range(0, len(valid), 16):
            index = valid[i:i + 16]
            x = cut(data.stack(size, first + index, o["channels"]), boxes[index], o["size"])
            p = F.softmax(net(x, scales=False)[0], 1)
            if out is None:
                out = torch.zeros(p.shape[1], last - first, height, width)
            for k in range(p.shape[1]):
                out[k, index] = paste(p[:, k], boxes[index], height, width)
    return (torch.zeros(2, last - first, height, width) if out is None else out).numpy()


def keep_largest(labels, keep, support=None):
    """The largest components, or those with most voxels where `support` is above 0."""
    parts, n = ndimage.label(labels > 0, np.ones((3, 3, 3)))
    if keep == 0 or n <= keep:
        return labels
    sizes = ndimage.sum(labels > 0, parts, range(1, n + 1))
    supported = sizes if support is None else ndimage.sum(support > 0, parts, range(1, n + 1))
    return np.where(np.isin(parts, 1 + np.lexsort((-sizes, -supported))[:keep]), labels, 0)


def whole_lesions(labels):
    """Every connected mass with a voxel of tumor in it as tumor."""
    parts, n = ndimage.label(labels >= 2, np.ones((3, 3, 3)))
    return np.where(np.isin(parts, np.unique(parts[labels == 2])) & (parts > 0), 2, labels)


def compose(kidney, masses, tumor):
    return np.where(masses, np.where(tumor, 2, 3), np.where(kidney, 1, 0)).astype(np.uint8)


def dice(a, b):
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def scores(prediction, reference):
    return {r: dice(np.isin(prediction, REGIONS[r]), np.isin(reference, REGIONS[r])) for r in STAGES}


def means(cases):
    return {r: float(np.mean([c[r] for c in cases.values()])) for r in next(iter(cases.values()))}


# --- the stages ---------------------------------------------------------------------------------------------------

def train_coarse(data, split, options, seed, log=None):
    torch.manual_seed(seed)
    o = options["coarse"]
    net = UNet(o["channels"], 3, o["width"], o["depth"], o["dropout"])
    full = lambda rng, slices: np.tile([0.0, 0.0, 1.0], (len(slices), 1))
    pool, val = data.slices(split["train"]), data.slices(split["val"])
    val = validation_slices(val, data.present[val, 1:].any(1), o["validationSlices"])
    seconds, history = fit(net, [None], data, o, seed, size=o["size"], classes=torch.tensor([0, 1, 2, 2]), log=log,
                           train=(pool, full), validation=(val, full(None, val)),
                           positive=data.present[pool, 1:].any(1))
    return net, seconds, history


def predict_coarse(net, data, options, case):
    """0, 1 kidney, 2 mass, on the case's own grid."""
    o = options["coarse"]
    full = np.tile([0.0, 0.0, 1.0], (len(data.labels[case]), 1))
    labels = probabilities(net, data, o, o["size"], case, full).argmax(0).astype(np.uint8)
    return keep_largest(labels, options["keepLargest"])


def train_stage(stage, data, split, options, seed, reference, predicted, before, log=None):
    """`reference` and `predicted`: {case: ROIs [S, 3]} of the stage, the second for train and val cases; `before`: the
    weights of the network that the second come from."""
    torch.manual_seed(seed)
    o, source, jitter = options[stage], options["sourceSize"], options["roi"]["jitter"]
    net = UNet(o["channels"], 2, o["width"], o["depth"], o["dropout"], multiscale=True)
    with_critic = {"all": o["scales"], "last": 1, "none": 0}[o["discriminators"]]
    critics = [Discriminator(o["channels"] + 2, o["discriminatorWidth"], o["discriminatorDepth"],
                             o["discriminatorDropout"]) if k < with_critic else None for k in range(o["scales"])]
    tables = [np.full((data.count, 3), np.nan) for _ in range(2)]
    for table, rois in zip(tables, (reference, predicted)):
        for case in split["train"] + split["val"]:
            if case in rois:
                table[slice(*data.range[case])] = rois[case]
    truth, guess = tables

    def boxes_of(rng, slices):
        use = (rng.rand(len(slices)) < o["predictedRois"])[:, None]
        first, second = np.where(use, guess[slices], truth[slices]), np.where(use, truth[slices], guess[slices])
        return jittered(rng, np.where(np.isnan(first), second, first), jitter)

    def usable(cases):
        slices = data.slices(cases)
        return slices[~(np.isnan(truth[slices, 0]) & np.isnan(guess[slices, 0]))]

    target = list(REGIONS[stage])
    pool, val = usable(split["train"]), usable(split["val"])
    val = validation_slices(val, data.present[val][:, target].any(1), o["validationSlices"])
    val_boxes = np.where(np.isnan(guess[val]), truth[val], guess[val])
    classes = torch.tensor([int(label in target) for label in range(4)])
    seconds, history = fit(net, critics, data, o, seed, size=source, classes=classes, log=log, train=(pool, boxes_of),
                           start_from=before if o["start"] == "before" else None,
                           validation=(val, val_boxes), positive=data.present[pool][:, target].any(1))
    return net, seconds, history


def predict_stage(net, data, options, stage, case, rois):
    return probabilities(net, data, options[stage], options["sourceSize"], case, rois)[1] >= 0.5


def run_cascade(data, split, options, seed, log=print):
    """Trains and tests once. Returns the record of this seed."""
    record, everyone = {"seed": seed, "seconds": {}, "history": {}}, sum(split.values(), [])
    roi, keep = options["roi"], options["keepLargest"]

    def told(stage):
        return lambda h: log(f"seed {seed} {stage} epoch {h['epoch']}  train {h['trainLoss']:.3f}  validation "
                             f"{h['loss']:.3f}  Dice {' '.join('%.3f' % d for d in h['dice'])}  confidence "
                             f"{h['confidenceLabel']:.2f} {h['confidencePrediction']:.2f}")

    net, record["seconds"]["coarse"], record["history"]["coarse"] = train_coarse(
        data, split, options, seed, told("coarse"))
    coarse = {c: predict_coarse(net, data, options, c) for c in everyone}
    guessed = {c: stage_rois(coarse[c], roi, roi["minArea"]) for c in everyone}
    truth = {c: stage_rois(data.labels[c], roi) for c in everyone}
    masks, weights = {}, {"coarse": net.state_dict()}
    for stage in STAGES:
        before = weights.get("masses" if stage == "tumor" else "coarse" if roi["from"] == "coarse" else None)
        predicted = {c: guessed[c][stage] for c in everyone}
        if stage == "tumor":
            predicted = {c: case_rois(mask, roi) for c, mask in masks["masses"].items()}
        net, record["seconds"][stage], record["history"][stage] = train_stage(
            stage, data, split, options, seed, {c: truth[c][stage] for c in everyone}, predicted, before, told(stage))
        weights[stage] = net.state_dict()
        wanted = split["test"]
        if stage == "masses":  # the tumor stage validates, and may train, with these
            wanted = everyone if options["tumor"]["predictedRois"] > 0 else split["val"] + split["test"]
        masks[stage] = {c: predict_stage(net, data, options, stage, c, predicted[c]) for c in wanted}
    record["cases"] = {"coarse": {}, "regions": {}, "join": {}}
    for c in split["test"]:
        labels = keep_largest(compose(*(masks[s][c] for s in STAGES)), keep)
        either = masks["masses"][c] | (coarse[c] > 1)
        tumor = predict_stage(net, data, options, "tumor", c, case_rois(either, roi))
        joined = keep_largest(compose(masks["kidney"][c] | (coarse[c] > 0), either, tumor), keep, coarse[c])
        if options.get("tumorRule") == "lesions":
            labels, joined = whole_lesions(labels), whole_lesions(joined)
        for method, found in (("coarse", coarse[c]), ("regions", labels), ("join", joined)):
            record["cases"][method][c] = scores(found, data.labels[c])
    record["mean"] = {k: means(v) for k, v in record["cases"].items()}
    return record


def main():
    o = parse()
    if o.threads:
        torch.set_num_threads(o.threads)
    with open(os.path.join(o.run, "run.json")) as file:
        facts = json.load(file)
    options = settings(facts, o.set)
    split = {part: facts["split"][part] for part in ("train", "val", "test")}
    data = Data(o.data or facts["data"]["root"], sorted({options["coarse"]["size"], options["sourceSize"]}),
                options["window"], options["level"])
    runs = []
    for seed in (int(s) for s in o.seeds.split(",")):
        runs.append(run_cascade(data, split, options, seed, lambda line: print(line, flush=True)))
        print(json.dumps({k: runs[-1][k] for k in ("seed", "mean", "seconds")}), flush=True)
        if o.out:
            with open(o.out, "w") as file:
                json.dump({"torch": torch.__version__, "options": options, "split": split, "runs": runs,
                           "mean": {k: {r: [run["mean"][k][r] for run in runs] for r in runs[0]["mean"][k]}
                                    for k in runs[0]["mean"]}}, file, indent=1)


if __name__ == "__main__":
    main()
