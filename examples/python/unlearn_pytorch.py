"""Unlearns samples from a PyTorch network: its state_dict goes in, the state_dict of the result comes out."""
import sys

import torch
from torch import nn

import lethe


class SmallNet(nn.Module):
    """What lethe calls "simple-conv:width=8"; for a ResNet-18 of the CIFAR form the name is "resnet18"."""

    def __init__(self, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.linear = nn.Linear(4 * width * 16, 10)

    def forward(self, x):
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = nn.functional.max_pool2d(norm(conv(x)).relu(), 2)
        return self.linear(x.flatten(1))


data = lethe.Dataset(sys.argv[1] if len(sys.argv) > 1 else "synthetic,train-limit=200,test-limit=100").train
images, labels = (torch.from_numpy(a) for a in data)  # bytes (N,C,H,W) and classes: your own arrays do as well

torch.manual_seed(0)
net = SmallNet()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for step in range(40):
    batch = torch.randint(len(images), (64,))
    loss = nn.functional.cross_entropy(net(images[batch] / 255), labels[batch].long())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

forget = [3, 14, 15, 92, 65]  # indices of training samples
run = lethe.unlearn(net.state_dict(), data, forget, method="amun", arch="simple-conv:width=8", normalize="none")
net.load_state_dict(run.state_dict())

net.eval()
right = (net(images[forget] / 255).argmax(1) == labels[forget]).float().mean().item()
print(f"accuracy on forgotten samples: {run['original']['forget_acc']:.2f} before, {run['forget_acc']:.2f} after")
assert abs(right - run["forget_acc"]) < 1e-6, "PyTorch and lethe disagree"
