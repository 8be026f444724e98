"""The nearest adversarial neighbour of every sample, written plainly in PyTorch. [AMUN 2.1, 2.4]

The structure of a loop that one would write first, and of the authors' public code: one batch after the other; all its
samples go through the network in every step until the last one is misclassified, those that are done are left alone by
a mask; gradients of the images only, evaluation mode. The arithmetic of a step is that of the specification, so both
searches look for the same neighbours.
"""
import time

import torch
import torch.nn.functional as F

FLOOR = 1e-30


def norms(v):
    return v.flatten(1).norm(dim=1).clamp_min(FLOOR).view(-1, 1, 1, 1)


def ascend(x, xa, gradient, eps, rho):
    """A step of rho * eps along the gradient, back onto the ball, then into the pixel box."""
    moved = xa + rho * eps * gradient / norms(gradient) - x
    size = norms(moved)
    return (x + moved * (eps / size).clamp_max(1.0)).clamp(0, 1)


class Search:
    def __init__(self, model, form, eps0=0.04, steps=50, rho=0.1, max_doublings=11):
        self.model, self.form = model, form
        self.eps0, self.steps, self.rho, self.max_doublings = eps0, steps, rho, max_doublings
        self.gradients = self.forwards = 0

    def gradient(self, xa, y):
        """Logits and, sample by sample, the gradient of the cross-entropy of the true label."""
        images = xa.detach().requires_grad_(True)
        z = self.model(images)
        self.gradients += len(xa)
        return z.detach(), torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), images)[0]

    def predict(self, xa):
        self.forwards += len(xa)
        with torch.no_grad():
            return self.model(xa).argmax(1)

    def batch(self, x, y):
        x = x.contiguous(memory_format=self.form)
        xa, eps = x.clone(), torch.full((len(x),), self.eps0, device=x.device)
        iters = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        done = self.predict(xa) != y
        wrong = done.clone()
        for _ in range(self.max_doublings + 1):
            for _ in range(self.steps):
                z, g = self.gradient(xa, y)
                done |= z.argmax(1) != y
                if bool(done.all()):
                    return xa, eps, iters, wrong, done
                xa = torch.where(done.view(-1, 1, 1, 1), xa, ascend(x, xa, g, eps.view(-1, 1, 1, 1), self.rho))
                iters += ~done
            done |= self.predict(xa) != y
            if bool(done.all()):
                break
            eps = torch.where(done, eps, 2 * eps)
        return xa, eps, iters, wrong, done

    def run(self, x, y, batch):
        start = time.perf_counter()
        parts = [self.batch(xb, yb) for xb, yb in zip(x.split(batch), y.split(batch))]
        found = [torch.cat(p).cpu() for p in zip(*parts)]
        wall = time.perf_counter() - start
        xa, eps, iters, wrong, done = found
        return wall, xa.contiguous(), eps, iters, wrong, done
