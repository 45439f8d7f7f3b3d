# The same kernels in PyTorch, on CUDA where there is one, else on the CPU: bench/convolution.ts's shapes and the main ones of
# bench/others.ts. Prints one JSON line per case.   python3 bench/peers/torch_kernels.py [samples]
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

samples = int(sys.argv[1]) if len(sys.argv) > 1 else 7
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cuda.matmul.allow_tf32 = False  # f32 like ours
torch.backends.cudnn.allow_tf32 = False
torch.manual_seed(0)

CONVS = {
    "c1": (2, 1, 32, (128, 128), 3, 1),
    "c2": (2, 32, 32, (128, 128), 3, 1),
    "c3": (2, 64, 64, (64, 64), 3, 1),
    "c4": (2, 128, 128, (32, 32), 3, 1),
    "c5": (2, 256, 256, (16, 16), 3, 1),
    "c6": (2, 256, 256, (16, 16), 3, 2),
    "1x1": (2, 64, 32, (128, 128), 1, 1),
    "3-D": (1, 16, 16, (16, 32, 32), 3, 1),
}


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def time_ms(work):
    work()
    wait()
    start = time.perf_counter()
    work()
    wait()
    repeats = max(1, min(200, round(0.06 / max(time.perf_counter() - start, 1e-6))))
    results = []
    for _ in range(samples):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        wait()
        results.append((time.perf_counter() - start) / repeats * 1e3)
    return sorted(results)


def report(name, work, flops=0):
    ms = time_ms(work)
    median = statistics.median(ms)
    row = {"name": name, "medianMs": median, "minMs": ms[0], "maxMs": ms[-1]}
    if flops:
        row["gflops"] = flops / median / 1e6
    print(json.dumps(row), flush=True)


def conv_cases():
    for name, (n, cin, cout, size, k, d) in CONVS.items():
        dims = len(size)
        conv = F.conv3d if dims == 3 else F.conv2d
        pad = d * (k - 1) // 2
        x = torch.randn(n, cin, *size, device=device)
        w = torch.randn(cout, cin, *[k] * dims, device=device)
        dy = torch.randn(n, cout, *size, device=device)
        count = 1
        for s in size:
            count *= s
        flops = 2 * n * count * cin * cout * k**dims
        backward = lambda mask: torch.ops.aten.convolution_backward(
            dy, x, w, None, [1] * dims, [pad] * dims, [d] * dims, False, [0] * dims, 1, mask
        )
        report(f"conv {name} forward", lambda: conv(x, w, None, 1, pad, d), flops)
        report(f"conv {name} dx", lambda: backward([True, False, False]), flops)
        report(f"conv {name} dw", lambda: backward([False, True, False]), flops)


def other_cases():
    x = torch.randn(2, 32, 128, 128, device=device)
    g, b = torch.ones(32, device=device), torch.zeros(32, device=device)
    a = torch.randn(512, 512, device=device)
    report("add forward", lambda: x + x)
    report("relu forward", lambda: F.relu(x))
    report("batch norm forward", lambda: F.batch_norm(x, None, None, g, b, True))
    report("max pool 2 forward", lambda: F.max_pool2d(x, 2))
    report("matmul forward", lambda: a @ a, 2 * 512**3)


print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}))
with torch.no_grad():
    conv_cases()
    other_cases()
