"""Finds squares and crosses in noise, with a U-Net, and tells them apart, with a small ResNet."""

import copy

import numpy as np

# --- imports
import minideconv as torch
import minideconv.functional as F
from minideconv import nn, optim

# --- end of imports


def make_shapes(count, size=32, seed=0):
    """Return images (count, 1, size, size), masks of the same shape, and labels (count,)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    images = 0.3 * rng.standard_normal((count, 1, size, size))
    masks = np.zeros((count, 1, size, size))
    labels = rng.integers(0, 2, count)
    for mask, label in zip(masks, labels):
        r = rng.integers(4, size // 4 + 1)
        y, x = rng.integers(r, size - r, 2)
        dy, dx = abs(rows - y), abs(columns - x)
        square, arms = np.maximum(dy, dx) < r, np.minimum(dy, dx) < r / 3
        mask[0] = square if label == 0 else square & arms
    images += masks
    return (
        torch.from_numpy(images.astype(np.float32)),
        torch.from_numpy(masks.astype(np.float32)),
        torch.from_numpy(labels),
    )


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.block(x)


class UNet(nn.Module):
    """O. Ronneberger et al., "U-Net" (2015), with padding and batch normalisation."""

    def __init__(self, in_channels=1, num_classes=1, features=(8, 16, 32)):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.downs = nn.ModuleList()
        for width in features:
            self.downs.append(DoubleConv(in_channels, width))
            in_channels = width
        self.bottleneck = DoubleConv(features[-1], features[-1] * 2)
        self.ups = nn.ModuleList()
        self.convs = nn.ModuleList()
        for width in reversed(features):
            self.ups.append(nn.ConvTranspose2d(width * 2, width, kernel_size=2, stride=2))
            self.convs.append(DoubleConv(width * 2, width))
        self.head = nn.Conv2d(features[0], num_classes, kernel_size=1)

    def forward(self, x):
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for up, conv, skip in zip(self.ups, self.convs, skips[::-1]):
            x = up(x)
            if x.shape[2:] != skip.shape[2:]:  # an odd size was rounded down
                x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = conv(torch.cat([skip, x], dim=1))
        return self.head(x)


class BasicBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(4, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(4, out_channels)
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.GroupNorm(4, out_channels),
            )
        else:
            self.shortcut = nn.Identity()

    def forward(self, x):
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out = out + self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    """K. He et al., "Deep residual learning" (2016), small, with group normalisation."""

    def __init__(self, num_classes, widths=(8, 16, 32)):
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(4, widths[0])
        self.blocks = nn.ModuleList()
        in_channels = widths[0]
        for i, width in enumerate(widths):
            self.blocks.append(BasicBlock(in_channels, width, stride=1 if i == 0 else 2))
            in_channels = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        x = self.avgpool(x)
        x = x.view(x.size(0), -1)
        return self.fc(x)


def init_weights(module):
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.0)


class BCEDiceLoss(nn.Module):
    def __init__(self, smooth=1.0):
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss()
        self.smooth = smooth

    def forward(self, logits, target):
        probabilities = torch.sigmoid(logits).view(logits.size(0), -1)
        flat = target.view(target.size(0), -1)
        overlap = (probabilities * flat).sum(dim=1)
        areas = probabilities.sum(dim=1) + flat.sum(dim=1)
        dice = (2.0 * overlap + self.smooth) / (areas + self.smooth)
        return self.bce(logits, target) + 1.0 - dice.mean()


def train_unet(net, images, masks, epochs=10, batch_size=8):
    """Train with SGD and the polynomial schedule; return the losses and averaged weights."""
    criterion = BCEDiceLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: (1 - epoch / epochs) ** 0.9)
    averaged = [p.detach().clone() for p in net.parameters()]
    losses = []
    net.train()
    for _ in range(epochs):
        for i in range(0, len(images), batch_size):
            x, y = images[i : i + batch_size].clone(), masks[i : i + batch_size]
            x[:, :, :4, :4] = 0.0  # a corner is cut out
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), max_norm=5.0)
            optimizer.step()
            losses.append(loss.item())
            with torch.no_grad():
                for mean, p in zip(averaged, net.parameters()):
                    mean.mul_(0.9).add_(p, alpha=0.1)
        scheduler.step()
    return losses, averaged


def train_resnet(net, images, labels, epochs=10, batch_size=8):
    """Train with AdamW and a rate that falls in steps; return the losses."""
    criterion = nn.CrossEntropyLoss(label_smoothing=0.02)
    optimizer = optim.AdamW(
        [
            {"params": [p for p in net.parameters() if p.dim() > 1]},
            {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=3e-3,
        weight_decay=1e-2,
    )
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.5)
    losses = []
    net.train()
    for _ in range(epochs):
        for i in range(0, len(images), batch_size):
            logits = net(images[i : i + batch_size])
            loss = criterion(logits, labels[i : i + batch_size])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


def mean_iou(net, images, masks):
    net.eval()
    with torch.no_grad():
        logits = net(images)
    found, truth = torch.sigmoid(logits) > 0.5, masks > 0.5
    return ((found & truth).sum() / (found | truth).sum()).item()


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        predicted = net(images).argmax(dim=1)
    return (predicted == labels).sum().item() / labels.size(0)


def main(count=192, epochs=10):
    torch.manual_seed(0)
    images, masks, labels = make_shapes(count, seed=0)
    new_images, new_masks, new_labels = make_shapes(count, seed=1)

    unet = UNet()
    unet.apply(init_weights)
    losses, _ = train_unet(unet, images, masks, epochs)
    print(f"U-Net: loss {losses[0]:.2f} to {losses[-1]:.2f}", end=", ")
    print(f"IoU on new images {mean_iou(unet, new_images, new_masks):.2f}")

    resnet = ResNet(num_classes=2)
    resnet.apply(init_weights)
    losses = train_resnet(resnet, images, labels, epochs)
    print(f"ResNet: loss {losses[0]:.2f} to {losses[-1]:.2f}", end=", ")
    print(f"right on new images {accuracy(resnet, new_images, new_labels):.2f}")

    # The trained trunk under a head for ten classes: what fits is loaded.
    trunk = copy.deepcopy(resnet.state_dict())
    trunk = {name: value for name, value in trunk.items() if not name.startswith("fc.")}
    result = ResNet(num_classes=10).load_state_dict(trunk, strict=False)
    print(f"left as they were: {', '.join(result.missing_keys)}")


if __name__ == "__main__":
    main()
