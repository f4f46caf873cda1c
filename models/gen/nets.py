"""The networks of models/: pixels / 255 in, logits out; MNIST, N x 1 x 28 x 28, but for the last two: scenes.py, N x 3 x 32 x 32."""
import math

import torch
from torch import nn
from torch.nn import functional as F


class LeNet300(nn.Module):
    """784-300-100-10 (LeCun et al., 1998)."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet5(nn.Module):
    """The Caffe variant: 20 and 50 filters of 5x5, dense 500."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.c1(x), 2)
        x = F.max_pool2d(self.c2(x), 2).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Residual(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.short = nn.Identity()
        if stride != 1 or cin != cout:
            self.short = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


class ResNet8(nn.Module):
    """Three residual blocks of 16, 32, 64 channels (He et al., 2015)."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn(self.stem(x)))).mean((2, 3)))


class SceneNet(nn.Module):
    """ResNet-8 for the scenes: colour, 32 to 96 channels, 32 classes."""

    shape = 3, 32, 32

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Residual(16, 32, 2), Residual(32, 64, 2), Residual(64, 96, 2))
        self.fc = nn.Linear(96, 32)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn(self.stem(x)))).mean((2, 3)))


class MBNet(nn.Module):
    """Depthwise separable convolutions with ReLU6 (Howard et al., 2017)."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        for cin, cout, stride in [(16, 64, 1), (64, 128, 2), (128, 256, 2), (256, 256, 1), (256, 256, 1)]:
            layers += [nn.Conv2d(cin, cin, 3, stride, 1, groups=cin, bias=False), nn.BatchNorm2d(cin), nn.ReLU6(),
                       nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU6()]
        self.features, self.fc = nn.Sequential(*layers), nn.Linear(256, 10)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        wide = 4 * cin
        self.layers = nn.Sequential(nn.Conv2d(cin, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                                    nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                                    nn.Conv2d(wide, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.add = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.layers(x) if self.add else self.layers(x)


class SceneMobile(nn.Module):
    """Inverted residuals with linear bottlenecks (Sandler et al., 2018) for the scenes."""

    shape = 3, 32, 32

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.blocks = nn.Sequential(*[Inverted(*b) for b in [(16, 24, 1), (24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]])
        self.head = nn.Sequential(nn.Conv2d(96, 192, 1, bias=False), nn.BatchNorm2d(192), nn.ReLU6())
        self.fc = nn.Linear(192, 32)

    def forward(self, x):
        return self.fc(self.head(self.blocks(self.stem(x))).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 3 * dim), nn.Linear(3 * dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // self.heads), -1)
        x = x + self.proj((a @ v).transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class TinyViT(nn.Module):
    """A vision transformer (Dosovitskiy et al., 2020): 16 patches of 7x7, width 96, 4 blocks of 4 heads."""

    def __init__(self, dim=96, heads=4, depth=4):
        super().__init__()
        self.patch = nn.Conv2d(1, dim, 7, 7)
        self.position = nn.Parameter(torch.zeros(1, 16, dim))
        nn.init.normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm, self.fc = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        return self.fc(self.norm(self.blocks(x)).mean(1))


NETS = {"lenet300": LeNet300, "lenet5": LeNet5, "resnet8": ResNet8, "mbnet": MBNet, "tinyvit": TinyViT,
        "scenes_resnet": SceneNet, "scenes_mobile": SceneMobile}
