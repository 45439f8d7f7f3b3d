"""What training adds to the networks of examples/pytorch: the discriminators of src/nn/models/discriminator.ts and the
losses of src/nn/adversarial.ts, for torch_cascade.py.

Any width and depth; PyTorch's default initialisation. Losses are equations 1 to 5 of Zheng et al., with the paper's
readings that src/nn/adversarial.ts uses: power 2, weights per pixel and detached, batch Dice with the background, one
generator forward for both parts.
"""
import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "pytorch"))
from wgrad_models import Decoder, ResUNet  # noqa: E402

SMOOTH = 1e-5


class Stage(nn.Module):
    def __init__(self, cin, cout, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x):
        return self.dropout(F.relu(self.bn(self.conv(x))))


class UNet(ResUNet):
    """Res-UNet, or with `multiscale` the generator of MSALDS-UNet: logits of every scale, full size first."""

    def forward(self, x, scales=True):
        return self.outputs(x, scales)

    def set_prior(self, frequencies):
        """The classifiers' biases as src/nn/initPrior.ts: the logarithm of the classes' frequencies, at least 1e-4."""
        total = float(sum(frequencies))
        bias = torch.tensor([math.log(max(f / total, 1e-4)) for f in frequencies])
        for classifier in [self.head[3], *self.sides]:
            classifier.bias.data.copy_(bias)


class Discriminator(nn.Module):
    """Logits above 0 for "a label", [N, 1, H, W]."""

    def __init__(self, cin, width, depth=4, dropout=0.0):
        super().__init__()
        w = [width << i for i in range(depth + 1)]
        self.encoder = nn.ModuleList(Stage(a, b, dropout) for a, b in zip([cin] + w, w))
        self.decoder = nn.ModuleList(Decoder(c, Stage) for c in reversed(w[1:]))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        y, skips = x, []
        for i, stage in enumerate(self.encoder):
            y = stage(y if i == 0 else F.max_pool2d(y, 2))
            skips.append(y)
        skips.pop()
        for stage in self.decoder:
            y = stage(y, skips.pop())
        return self.head(y)


def bce(logits, real):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def one_hot(target, classes):
    return F.one_hot(target, classes).permute(0, 3, 1, 2).float()


def dice_loss(p, onehot):
    dims = (0, 2, 3)
    return 1 - ((2 * (p * onehot).sum(dims) + SMOOTH) / (p.sum(dims) + onehot.sum(dims) + SMOOTH)).mean()


def dice_cross_entropy(logits, target):
    return dice_loss(F.softmax(logits, 1), one_hot(target, logits.shape[1])) + F.cross_entropy(logits, target)


def generator_loss(x, logits, target, discriminators, adversarial=0.05, power=2, difficulty=True):
    """Summed over the scales (equations 1 to 4). A discriminator that is None leaves Dice + cross entropy."""
    onehot, total = one_hot(target, logits[0].shape[1]), 0
    for z, d in zip(logits, discriminators):
        p = F.softmax(z, 1)
        ce = F.cross_entropy(z, target, reduction="none")[:, None]
        total = total + dice_loss(p, onehot)
        if d is None:
            total = total + ce.mean()
            continue
        judged = d(torch.cat([x, p], 1))
        m = torch.sigmoid(judged).detach()
        weight = (1 - m) ** power + (1 - m) if difficulty else 1
        total = total + (weight * ce).mean() + adversarial * bce(judged, 1)
    return total


def discriminator_loss(x, logits, target, discriminators):
    """Summed over the scales (equation 5), and the mean confidence on labels and on predictions."""
    truth, total, confidence = torch.cat([x, one_hot(target, logits[0].shape[1])], 1), 0, []
    for z, d in zip(logits, discriminators):
        if d is None:
            continue
        label, prediction = d(truth), d(torch.cat([x, F.softmax(z.detach(), 1)], 1))
        total = total + 0.5 * (bce(label, 1) + bce(prediction, 0))
        confidence.append((float(torch.sigmoid(label).mean()), float(torch.sigmoid(prediction).mean())))
    return total, confidence
