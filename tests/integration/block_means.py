#!/usr/bin/env python3
"""Writes block_means.torchscript.pt, a feature extractor for tests.

Run with PyTorch (2.11.0 when the file was made), in this folder.
"""
import torch


class BlockMeans(torch.nn.Module):
    """Means of 4x4 blocks and variances of 2x2, whatever the channels."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1 / 255))

    def forward(self, images):
        x = images.float() * self.scale
        centred = x - x.mean([2, 3], keepdim=True)
        means = torch.nn.functional.adaptive_avg_pool2d(x, [4, 4])
        variances = torch.nn.functional.adaptive_avg_pool2d(centred ** 2, [2, 2])
        return torch.cat([means.flatten(1), variances.flatten(1)], 1)


torch.jit.script(BlockMeans().eval()).save("block_means.torchscript.pt")
