"""PyTorch definitions of lethe's architectures, for golden vectors, interoperability tests and speed comparisons.

Written the way a PyTorch user would write a CIFAR model: plain modules, the usual parameter names, nothing that knows
lethe's files. `from_spec` reads lethe's model specs ("resnet18:width=8,proj-half=1").
"""
import torch
from torch import nn
import torch.nn.functional as F


def norm(channels, bn):
    return nn.BatchNorm2d(channels) if bn else nn.Identity()


class BasicBlock(nn.Module):
    def __init__(self, c_in, c_out, stride, proj_half, bn):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = norm(c_out, bn)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = norm(c_out, bn)
        self.shortcut = nn.Sequential()
        self.factor = 1.0
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), norm(c_out, bn))
            self.factor = 0.5 if proj_half else 1.0

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return F.relu(y * self.factor if self.factor != 1.0 else y)


class ResNet18(nn.Module):
    def __init__(self, shape, n_classes, width=64, proj_half=0, bn=1):
        super().__init__()
        c, h, w = shape
        self.conv1 = nn.Conv2d(c, width, 3, 1, 1, bias=False)
        self.bn1 = norm(width, bn)
        c_in = width
        for stage in range(4):
            c_out, stride = width << stage, 2 if stage else 1
            blocks = BasicBlock(c_in, c_out, stride, proj_half, bn), BasicBlock(c_out, c_out, 1, proj_half, bn)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            c_in = c_out
            if stage:
                h, w = (h + 1) // 2, (w + 1) // 2
        self.linear = nn.Linear(c_in * (h // 4) * (w // 4), n_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class ImageNetBlock(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet18ImageNet(nn.Module):
    """torchvision's resnet18 with a choice of width."""

    def __init__(self, shape, n_classes, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        c_in = width
        for stage in range(4):
            c_out = width << stage
            blocks = ImageNetBlock(c_in, c_out, 2 if stage else 1), ImageNetBlock(c_out, c_out, 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            c_in = c_out
        self.fc = nn.Linear(c_in, n_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class VGG19(nn.Module):
    def __init__(self, shape, n_classes, width=64, bn=1):
        super().__init__()
        c, h, w = shape
        layers = []
        for m in (1, 1, 0, 2, 2, 0, 4, 4, 4, 4, 0, 8, 8, 8, 8, 0, 8, 8, 8, 8, 0):
            if m:
                layers += [nn.Conv2d(c, m * width, 3, padding=1)]
                layers += [nn.BatchNorm2d(m * width)] if bn else []
                layers += [nn.ReLU()]
                c = m * width
            else:
                layers += [nn.MaxPool2d(2, 2)]
                h, w = h // 2, w // 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(c * h * w, n_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class SimpleConv(nn.Module):
    def __init__(self, shape, n_classes, width=32, bn=1):
        super().__init__()
        c, h, w = shape
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(c, width << (i - 1), 3, padding=1, bias=not bn))
            setattr(self, f"bn{i}", norm(width << (i - 1), bn))
            c, h, w = width << (i - 1), h // 2, w // 2
        self.linear = nn.Linear(c * h * w, n_classes)

    def forward(self, x):
        for i in (1, 2, 3):
            x = F.max_pool2d(F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))), 2)
        return self.linear(x.flatten(1))


class SingleConv(nn.Module):
    def __init__(self, shape, n_classes, width=64, kernel=3, padding=1, stride=1, dilation=1, padding_mode="reflect",
                 bn=1):
        super().__init__()
        c, h, w = shape
        self.conv1 = nn.Conv2d(c, width, kernel, stride, padding, dilation, bias=not bn, padding_mode=padding_mode)
        self.bn1 = norm(width, bn)
        h, w = ((side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for side in (h, w))
        self.linear = nn.Linear(width * h * w, n_classes)

    def forward(self, x):
        return self.linear(F.relu(self.bn1(self.conv1(x))).flatten(1))


class BlockA(nn.Module):
    """Basic block whose shortcut has no parameters: every second pixel, new channels zero."""

    def __init__(self, c_in, c_out, stride, bn):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = norm(c_out, bn)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = norm(c_out, bn)
        self.stride, self.more = stride, c_out - c_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more or self.stride != 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self, shape, n_classes, width=16, bn=1):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], width, 3, 1, 1, bias=False)
        self.bn1 = norm(width, bn)
        c_in = width
        for stage in range(3):
            c_out, stride = width << stage, 2 if stage else 1
            blocks = [BlockA(c_in if i == 0 else c_out, c_out, stride if i == 0 else 1, bn) for i in range(3)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            c_in = c_out
        self.linear = nn.Linear(c_in, n_classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class Root(nn.Module):
    def __init__(self, c_in, c_out, bn):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = norm(c_out, bn)

    def forward(self, parts):
        return F.relu(self.bn(self.conv(torch.cat(parts, 1))))


class Tree(nn.Module):
    """Blocks, and for levels above 1 trees of the levels below, joined by a root."""

    def __init__(self, c_in, c_out, level, stride, bn):
        super().__init__()
        self.level = level
        self.root = Root((2 if level == 1 else level + 2) * c_out, c_out, bn)
        c = c_in
        for i in range(level - 1, 0, -1):
            setattr(self, f"level_{i}", Tree(c, c_out, i, stride, bn))
            c = c_out
        if level > 1:
            self.prev_root = BasicBlock(c_in, c_out, stride, 0, bn)
        self.left_node = BasicBlock(c, c_out, stride if level == 1 else 1, 0, bn)
        self.right_node = BasicBlock(c_out, c_out, 1, 0, bn)

    def forward(self, x):
        parts = [self.prev_root(x)] if self.level > 1 else []
        for i in range(self.level - 1, 0, -1):
            x = getattr(self, f"level_{i}")(x)
            parts.append(x)
        for node in (self.left_node, self.right_node):
            x = node(x)
            parts.append(x)
        return self.root(parts)


class DLA(nn.Module):
    def __init__(self, shape, n_classes, width=16, bn=1):
        super().__init__()

        def plain(c_in, c_out):
            return nn.Sequential(nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False), norm(c_out, bn), nn.ReLU())

        w = width
        self.base, self.layer1, self.layer2 = plain(shape[0], w), plain(w, w), plain(w, 2 * w)
        self.layer3, self.layer4 = Tree(2 * w, 4 * w, 1, 1, bn), Tree(4 * w, 8 * w, 2, 2, bn)
        self.layer5, self.layer6 = Tree(8 * w, 16 * w, 2, 2, bn), Tree(16 * w, 32 * w, 1, 2, bn)
        self.linear = nn.Linear(32 * w * (shape[1] // 32) * (shape[2] // 32), n_classes)

    def forward(self, x):
        for layer in (self.base, self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6):
            x = layer(x)
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class Normalized(nn.Module):
    """(x - mean) / std, then the network. State names are the network's: the constants are no parameters."""

    def __init__(self, net, mean, std):
        super().__init__()
        self.net = [net]  # in a list: not registered, so that names stay unprefixed
        self.mean, self.std = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)

    def forward(self, x):
        return self.net[0]((x - self.mean.to(x.dtype)) / self.std.to(x.dtype))


def from_spec(spec, shape, n_classes):
    """(network, callable): the module with the parameters, and the whole model with its normalisation, if any."""
    name, _, rest = spec.partition(":")
    keys = dict(part.split("=") for part in rest.split(",") if part)
    mean, std = keys.pop("mean", None), keys.pop("std", None)
    cls = {"resnet18": ResNet18, "resnet18-imagenet": ResNet18ImageNet, "vgg19": VGG19, "simple-conv": SimpleConv,
           "single-conv": SingleConv, "resnet20": ResNet20, "dla": DLA}[name]
    net = cls(shape, n_classes, **{k.replace("-", "_"): v if v.isalpha() else int(v) for k, v in keys.items()})
    if mean is None and std is None:
        return net, net
    numbers = [[float(v) for v in text.split("+")] for text in (mean or "0", std or "1")]
    return net, Normalized(net, *numbers)
