"""Small models around residual streams: (7, 6) to 5 classes, which their blocks and norms make different."""

import torch
from torch import nn


class RMS(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim) + 0.5)

    def forward(self, x):
        return nn.functional.rms_norm(x, x.shape[-1:], self.weight, 1e-5)


class Gated(nn.Module):
    """A norm whose output is read by two layers and, in one variant, by a product of its own."""

    def __init__(self, dim, also):
        super().__init__()
        self.a, self.b, self.c, self.also = (
            nn.Linear(dim, 2 * dim, bias=False),
            nn.Linear(dim, 2 * dim),
            nn.Linear(2 * dim, dim),
            also,
        )

    def forward(self, x):
        made = self.c(self.a(x) * self.b(x).sigmoid())
        return made * x if self.also else made


class Residual(nn.Module):
    """Blocks around a residual stream: (tokens, channels in) to 5 classes."""

    def __init__(self, dim, norm, blocks, scale, bias=True, depth=2, shared=False):
        super().__init__()
        self.embed = nn.Linear(6, dim, bias=bias)
        self.position = nn.Parameter(torch.randn(1, 7, dim))
        self.shared = shared
        self.norms = nn.ModuleList(norm(dim) for _ in range(depth))
        self.blocks = nn.ModuleList(blocks(dim) for _ in range(depth))
        self.scales = nn.ParameterList(torch.randn(dim) if scale else torch.ones(()) for _ in range(depth))
        self.norm, self.head = norm(dim), nn.Linear(dim, 5)

    def forward(self, x):
        x = self.embed(x) + self.position
        for norm, block, scale in zip(self.norms, self.blocks, self.scales, strict=True):
            x = x + scale * block(norm(x))
            if self.shared:
                x = x + self.position
        return self.head(self.norm(x).mean(1))


def mlp(dim):
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))


class Between(nn.Module):
    """Two spaces: the layer that reads one writes to the other, and has no bias of its own."""

    def __init__(self):
        super().__init__()
        self.first = Residual(12, nn.LayerNorm, mlp, False)
        self.norm, self.down = nn.LayerNorm(12), nn.Linear(12, 8, bias=False)
        self.mlp, self.inner, self.last, self.head = mlp(8), nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        first = self.first
        x = first.embed(x) + first.position
        x = x + first.blocks[0](first.norms[0](x))
        x = self.down(self.norm(x))
        x = x + self.mlp(self.inner(x))
        return self.head(self.last(x).mean(1))


class ReadsAndWrites(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.layer, self.head = nn.Linear(6, 12), nn.LayerNorm(12), nn.Linear(12, 12), nn.Linear(12, 5)

    def forward(self, x):
        x = self.embed(x)
        x = x + self.layer(self.norm(x))
        return self.head(self.norm(x)[:, 0])


class Joined(nn.Module):
    """A layer that takes the output of a norm beside other rows, in another basis."""

    def __init__(self):
        super().__init__()
        self.embed, self.a, self.b, self.head = nn.Linear(6, 12), nn.LayerNorm(12), nn.LayerNorm(12), nn.Linear(12, 5)
        self.extra, self.other = nn.Parameter(torch.randn(1, 2, 12)), nn.Linear(6, 12)

    def forward(self, x):
        rows = torch.cat([self.a(self.embed(x)), self.b(self.other(x)), self.extra.expand(x.shape[0], -1, -1)], dim=1)
        return self.head(rows).mean(1)


class Padded(nn.Module):
    """Rows of zeros behind a norm, which have none of its bias."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.wide, self.head = nn.Linear(6, 12), nn.LayerNorm(12), nn.Linear(12, 20), nn.Linear(20, 5)

    def forward(self, x):
        x = nn.functional.pad(self.norm(self.embed(x)), (0, 0, 1, 2))
        return self.head(self.wide(x).relu().mean(1))


class Elsewhere(nn.Module):
    """The stream is read by a layer that no norm precedes."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.head, self.skip = nn.Linear(6, 12), nn.LayerNorm(12), nn.Linear(12, 5), nn.Linear(12, 5)

    def forward(self, x):
        x = self.embed(x)
        return (self.head(self.norm(x)) + self.skip(x)).mean(1)


def shaken(model, seed=0):
    r = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=r))
    return model.eval().double()
