# PyTorch as a peer, on CUDA where there is one and else on the CPU; requests and answers as in shared.mjs. Not named
# torch.py, which would hide the library. On CUDA in full f32 (no TF32), as wgrad.
# Run with OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=4: with more threads in both, they fight for the cores.
import json
import math
import os
import resource
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

SAMPLE_MS = 30
SAMPLES = (5, 9)
BUDGET_MS = 2000
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "4")))


def seed_of(text):
    """FNV-1a."""
    value = 0x811C9DC5
    for letter in text.encode():
        value = ((value ^ letter) * 0x01000193) & 0xFFFFFFFF
    return value


def uniform(name, shape, bound=0.5, value=0.0):
    """The numbers of shared.mjs' uniform()."""
    x = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(seed_of(name))
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    x = x ^ (x >> np.uint32(16))
    values = value + (x.astype(np.float64) / 2**32 - 0.5) * 2 * bound
    return torch.from_numpy(values.astype(np.float32).reshape(shape)).to(DEVICE)


def now():
    return time.perf_counter() * 1e3


def convolution(case):
    n, cin, height, width = case["x"]
    cout, d = case["cout"], case["dilation"]
    x, w, dy = uniform("x", case["x"]), uniform("w", [cout, cin, 3, 3]), uniform("dy", [n, cout, height, width])
    if case["part"] == "forward":
        return lambda: [F.conv2d(x, w, padding=d, dilation=d)]
    mask = [case["part"] == "dx", case["part"] == "dw", False]
    settings = (None, [1, 1], [d, d], [d, d], False, [0, 0], 1, mask)
    return lambda: [torch.ops.aten.convolution_backward(dy, x, w, *settings)[mask.index(True)]]


def normalisation(case):
    channels = [case["x"][1]]
    inputs = [uniform("x", case["x"]), uniform("gamma", channels), uniform("beta", channels)]
    dy = uniform("dy", case["x"])

    def both():
        with torch.enable_grad():
            y = F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], True)
            return [y.detach(), *torch.autograd.grad(y, inputs, dy)]

    if case["part"] == "forward":
        return lambda: [F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], True)]
    for t in inputs:
        t.requires_grad_()
    return both


def finish():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def sample(work, repeats):
    start = now()
    for _ in range(repeats):
        work()
    finish()
    return now() - start


def timed(work):
    sample(work, 2)
    repeats = max(1, min(500, math.ceil(SAMPLE_MS / sample(work, 1))))
    times, start = [], now()
    while len(times) < SAMPLES[0] or (len(times) < SAMPLES[1] and now() - start < BUDGET_MS):
        times.append(sample(work, repeats) / repeats)
    return {
        "ms": statistics.median(times),
        "min": min(times),
        "max": max(times),
        "samples": len(times),
        "repeats": repeats,
    }


def run_case(case):
    with torch.no_grad():
        work = convolution(case) if case["kind"] == "conv" else normalisation(case)
        norm = math.sqrt(sum(t.double().square().sum().item() for t in work()))
        return {"name": case["name"], **timed(work), "norm": norm}


class ResidualBlock(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class ResUNet(nn.Module):
    """The network of cases.ts."""

    def __init__(self, channels):
        super().__init__()
        pairs = list(zip(channels[:-1], channels[1:]))
        self.encoder = nn.ModuleList(ResidualBlock(a, b) for a, b in [(1, channels[0]), *pairs])
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs))
        self.decoder = nn.ModuleList(ResidualBlock(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x):
        skips = []
        x = self.encoder[0](x)
        for block in self.encoder[1:]:
            skips.append(x)
            x = block(F.max_pool2d(x, 2))
        for up, block in zip(self.up, self.decoder):
            x = block(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


def bce_and_dice(logits, t, smooth):
    p = torch.sigmoid(logits)
    overlap, total = (p * t).sum((1, 2, 3)), p.sum((1, 2, 3)) + t.sum((1, 2, 3))
    dice = 1 - ((2 * overlap + smooth) / (total + smooth)).mean()
    return F.binary_cross_entropy_with_logits(logits, t) + dice


def batch_of(model):
    """shared.mjs' batchOf()."""
    n, size = model["batch"], model["size"]
    sample, row, column = np.meshgrid(np.arange(n), np.arange(size), np.arange(size), indexing="ij")
    dy, dx = row - size / 2 + 8 * sample, column - size / 2
    t = torch.from_numpy((16 * (dy * dy + dx * dx) < size * size).astype(np.float32)[:, None]).to(DEVICE)
    return uniform("x", [n, 1, size, size], 1.0) + t, t


def train(request):
    model = request["model"]
    network = ResUNet(model["channels"]).to(DEVICE)
    values = {p["name"]: uniform(p["name"], p["shape"], p["bound"], p["value"]) for p in model["parameters"]}
    named = dict(network.named_parameters())
    assert named.keys() == values.keys(), "the network's parameters are not those of the request"
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(values[name])
    x, t = batch_of(model)
    adam = torch.optim.Adam(network.parameters(), lr=model["lr"])
    times, losses = [], []
    for _ in range(request["steps"]):
        start = now()
        adam.zero_grad(set_to_none=True)
        loss = bce_and_dice(network(x), t, model["smooth"])
        loss.backward()
        adam.step()
        losses.append(loss.item())
        times.append(now() - start)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    ms = statistics.median(times[2:]) if len(times) > 2 else None
    return {"ms": ms, "first": times[0], "times": times, "losses": losses, "rss": rss}


def answer(request):
    try:
        return run_case(request["case"]) if request["do"] == "case" else train(request)
    except Exception as error:
        return {"error": str(error).split("\n")[0]}


where = torch.cuda.get_device_name() if DEVICE == "cuda" else f"cpu, {torch.get_num_threads()} threads"
print(json.dumps({"ready": True, "version": f"PyTorch {torch.__version__}", "adapter": where}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
