"""Audits a PyTorch model from its outputs alone: how much does it still know about the samples it was to forget?"""
import torch

import lethe


def outputs(model, images):
    model.eval()
    with torch.no_grad():
        return model(images)


torch.manual_seed(0)
images, labels = torch.rand(300, 3, 32, 32), torch.arange(300) % 10
groups = torch.tensor([0] * 200 + [1] * 40 + [2] * 60)  # 0 retained, 1 forgotten, 2 test samples
make = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
model, retrained = make(), [make(), make(), make()]  # yours, and models trained without the forgotten samples

audit = lethe.audit(outputs(model, images), labels, groups, oracles=[outputs(m, images) for m in retrained])
print("accuracy on forgotten samples:", audit["ua"])
print("AUC of the loss attack, forgotten against test:", audit["loss"]["ft_auc"])
print("verdict:", audit["verdict"]["overall"])
