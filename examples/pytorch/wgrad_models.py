"""The networks of wgrad in PyTorch, with the same names: a state dict of one loads into the other (docs/weights.md).

    from wgrad_models import ResUNet
    from safetensors.torch import load_file, save_file

    model = ResUNet(3, 3, width=64).eval()
    model.load_state_dict(load_file("best.safetensors"))      # what wgrad saved
    save_file(model.state_dict(), "mine.safetensors")         # for nn.loadSafetensors of wgrad

Any width and depth, defaults as in src/nn/models; PyTorch's default initialisation. Needs torch alone.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.ReLU(),
                                nn.Linear(hidden, channels, bias=False))

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None]


class ResidualBlock(nn.Module):
    def __init__(self, cin, cout, dropout=0.0, dilation=(1, 1), squeeze=False):
        super().__init__()
        a, b = dilation
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=a, dilation=a, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.dropout = nn.Dropout2d(dropout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=b, dilation=b, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.se = SqueezeExcitation(cout) if squeeze else nn.Identity()
        self.shortcut = nn.Identity() if cin == cout else nn.Sequential(
            nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(self.dropout(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.se(y) + self.shortcut(x))


def upsampling(kind, cin):
    """Doubles the resolution and halves the channels: "transpose" 2x2, "wide" 4x4, or "nearest" and a convolution."""
    if kind == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(cin, cin // 2, 3, padding=1, bias=False),
                             nn.BatchNorm2d(cin // 2), nn.ReLU())
    kernel, padding = (2, 0) if kind == "transpose" else (4, 1)
    return nn.ConvTranspose2d(cin, cin // 2, kernel, stride=2, padding=padding)


class Decoder(nn.Module):
    def __init__(self, cin, block, up="wide"):
        super().__init__()
        self.up = upsampling(up, cin)
        self.block = block(cin, cin // 2)

    def forward(self, x, skip):
        return self.block(torch.cat([self.up(x), skip], 1))


def decoder_levels(net, x):
    """What the decoder computes at every level, from full resolution down."""
    skips, levels = [], []
    for block in net.encoder:
        x = block(x)
        skips.append(x)
        x = F.max_pool2d(x, 2)
    x = net.bottleneck(x)
    for stage in net.decoder:
        x = stage(x, skips.pop())
        levels.insert(0, x)
    return levels


class UNet(nn.Module):
    """Logits [N, classes, H, W] of x [N, in_channels, H, W]; `up`: "transpose" or "nearest"."""

    def __init__(self, in_channels, classes, width=64, depth=4, up="transpose"):
        super().__init__()
        w = [width << i for i in range(depth + 1)]
        self.encoder = nn.ModuleList(DoubleConv(a, b) for a, b in zip([in_channels] + w, w[:-1]))
        self.bottleneck = DoubleConv(w[-2], w[-1])
        self.decoder = nn.ModuleList(Decoder(c, DoubleConv, up) for c in reversed(w[1:]))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        return self.head(decoder_levels(self, x)[0])


class ResUNet(nn.Module):
    """Logits [N, classes, H, W] of x [N, in_channels, H, W]. `multiscale`: the layers of MSALDSUNet."""

    def __init__(self, in_channels, classes, width=64, depth=4, dropout=0.3, multiscale=False):
        super().__init__()
        w = [width << i for i in range(depth + 1)]

        def block(a, b, **more):
            return ResidualBlock(a, b, dropout=dropout, **more)

        self.encoder = nn.ModuleList(block(a, b, squeeze=multiscale) for a, b in zip([in_channels] + w, w[:-1]))
        self.bottleneck = block(w[-2], w[-1], dilation=(2, 3) if multiscale else (1, 1))
        self.decoder = nn.ModuleList(Decoder(c, block) for c in reversed(w[1:]))
        self.head = nn.Sequential(nn.Conv2d(width, width // 2, 3, padding=1, bias=multiscale),
                                  nn.BatchNorm2d(width // 2), nn.ReLU(), nn.Conv2d(width // 2, classes, 1))
        self.sides = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in w[1:-1]) if multiscale else []

    def outputs(self, x, scales=True):
        """Logits of every scale at the size of x, full resolution first; of that alone without `scales`."""
        full, *levels = decoder_levels(self, x)
        sides = [F.interpolate(side(y), size=x.shape[2:], mode="bilinear", align_corners=False)
                 for side, y in zip(self.sides, levels)] if scales else []
        return [self.head(full)] + sides

    def forward(self, x):
        return self.outputs(x)[0]


class MSALDSUNet(ResUNet):
    """Logits of every scale, [N, classes, H, W] each, full resolution first."""

    def __init__(self, in_channels, classes, width=64, depth=4, dropout=0.3):
        super().__init__(in_channels, classes, width, depth, dropout, multiscale=True)

    def forward(self, x):
        return self.outputs(x)
