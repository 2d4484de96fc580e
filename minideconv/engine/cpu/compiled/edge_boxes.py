"""The loops of Edge Boxes, compiled: growing groups, scoring, refining and thinning out boxes.

What is computed, and why, stands with the readable functions in `edge_groups` and `box_scores` of
`segmentation.proposals`. The arrays of an image come in the order of `box_scores._arrays`.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel

__all__ = ["grow", "keep", "refine_all", "score_all"]


@kernel(writes="labels")
def grow(labels, orientation, turn):
    """Replace every -1 in `labels` by the number of a group; the frame of the map holds no -1."""
    height, width = labels.shape
    flat, angle = labels.ravel(), orientation.ravel()
    steps = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    frontier, differences = np.empty(height * width, np.int64), np.empty(height * width)
    group = 0
    for seed in range(height * width):
        if flat[seed] != -1:
            continue
        pixel, turned, waiting = seed, 0.0, 0
        flat[pixel] = group
        while turned <= turn:
            for step in steps:
                other = pixel + step
                if flat[other] == -1:
                    if waiting == len(frontier):  # a pixel waits once for each neighbour
                        frontier = np.append(frontier, frontier)
                        differences = np.append(differences, differences)
                    difference = abs(angle[pixel] - angle[other])
                    frontier[waiting] = other
                    differences[waiting] = min(difference, np.pi - difference)
                    waiting += 1
            best, still = -1, 0
            for k in range(waiting):  # drop those that have joined meanwhile, keep the order
                if flat[frontier[k]] == -1:
                    frontier[still], differences[still] = frontier[k], differences[k]
                    if best < 0 or differences[still] < differences[best]:
                        best = still
                    still += 1
            waiting = still
            if best < 0:
                break
            pixel = frontier[best]
            flat[pixel] = group
            turned += differences[best]
        group += 1


@kernel
def total(integral, x1, y1, x2, y2):
    """Sum over a box by its integral image."""
    return integral[y2 + 1, x2 + 1] - integral[y1, x2 + 1] - integral[y2 + 1, x1] + integral[y1, x1]


@kernel(writes="best seen queue")
def begin(line, first, last, best, seen, box, queue, count):
    """Put the groups on one side of a box into the queue; return how many are in there."""
    before = -1
    for k in range(first, last + 1):
        group = line[k]
        if group >= 0 and group != before and seen[group] != box:
            seen[group] = box
            best[group] = 1.0
            queue[count] = group
            count += 1
        before = group
    return count


@kernel(writes="best seen queue queued touched")
def score(
    x1, y1, x2, y2, least, box, best, seen, queue, queued, touched,
    labels, columns, magnitude, x, y, first, neighbour, affinity, magnitudes, strengths, kappa, cut,
):  # fmt: skip
    """Score one box; `box` is a number that no box had before, for which the scratch is new."""
    width, height = x2 - x1 + 1, y2 - y1 + 1
    dx, dy = width // 4, height // 4
    found = total(magnitudes, x1, y1, x2, y2)
    found -= total(strengths, x1 + dx, y1 + dy, x2 - dx, y2 - dy)
    norm = ((width + height) / 2) ** -kappa
    if found * norm < least or found <= 0:
        return 0.0
    count = begin(labels[y1], x1, x2, best, seen, box, touched, 0)
    count = begin(labels[y2], x1, x2, best, seen, box, touched, count)
    count = begin(columns[x1], y1, y2, best, seen, box, touched, count)
    count = begin(columns[x2], y1, y2, best, seen, box, touched, count)
    for k in range(count):
        queue[k] = touched[k]
        queued[touched[k]] = True
    # A ring: a group waits in it at most once, so it holds all of them.
    head, waiting, room = 0, count, len(queue)
    while waiting > 0:
        group = queue[head]
        head = head + 1 if head + 1 < room else 0
        waiting -= 1
        queued[group] = False
        for place in range(first[group], first[group + 1]):
            other = neighbour[place]
            product = best[group] * affinity[place]
            if product < cut:
                continue
            if seen[other] == box:
                if product <= best[other]:
                    continue
            elif x1 <= x[other] <= x2 and y1 <= y[other] <= y2:
                seen[other] = box
                touched[count] = other
                count += 1
            else:
                continue
            best[other] = product
            if not queued[other]:
                queued[other] = True
                queue[(head + waiting) % room] = other
                waiting += 1
    for k in range(count):
        group = touched[k]
        if x1 <= x[group] <= x2 and y1 <= y[group] <= y2:
            found -= best[group] * magnitude[group]
    found *= norm
    return found if found >= least and found > 0 else 0.0


@kernel(writes="scores")
def score_all(boxes, scores, least, image):
    """Score (N, 4) boxes."""
    groups = len(image[2])
    best, seen = np.zeros(groups), np.zeros(groups, np.int64)
    queue, touched = np.zeros(groups + 1, np.int32), np.zeros(groups + 1, np.int32)
    queued = np.zeros(groups, np.bool_)
    for k in range(len(boxes)):
        x1, y1, x2, y2 = boxes[k]
        scores[k] = score(
            x1, y1, x2, y2, least, k + 1, best, seen, queue, queued, touched, *image
        )  # fmt: skip


@kernel(writes="boxes scores")
def refine_all(boxes, scores, steps, image):
    """Move the sides of (N, 4) boxes while that raises their scores, in place."""
    groups = len(image[2])
    best, seen = np.zeros(groups), np.zeros(groups, np.int64)
    queue, touched = np.zeros(groups + 1, np.int32), np.zeros(groups + 1, np.int32)
    queued = np.zeros(groups, np.bool_)
    ends = (image[0].shape[1] - 1, image[0].shape[0] - 1)
    number = 0
    moved = np.zeros(4, np.int64)
    for k in range(len(boxes)):
        step = steps[k] / 2
        while max(step[0], step[1]) > 2:
            for side in range(4):
                axis = side % 2
                length = int(max(1, step[axis]))
                for sign in (-1, 1):
                    moved[:] = boxes[k]
                    moved[side] = min(max(moved[side] + sign * length, 0), ends[axis])
                    if moved[axis] >= moved[axis + 2]:
                        continue
                    number += 1
                    found = score(
                        moved[0], moved[1], moved[2], moved[3], scores[k], number,
                        best, seen, queue, queued, touched, *image
                    )  # fmt: skip
                    if found > scores[k]:
                        scores[k] = found
                        boxes[k] = moved
            step = step / 2


@kernel(writes="kept")
def keep(boxes, beta, kept):
    """Write which of (N, 4) boxes, the best first, do not overlap a better one; return how many."""
    count = 0
    for k in range(len(boxes)):
        x1, y1, x2, y2 = boxes[k]
        area = (x2 - x1 + 1) * (y2 - y1 + 1)
        free = True
        for j in range(count):
            u1, v1, u2, v2 = boxes[kept[j]]
            across, down = min(x2, u2) - max(x1, u1) + 1, min(y2, v2) - max(y1, v1) + 1
            if across > 0 and down > 0:
                inside = across * down
                if inside / (area + (u2 - u1 + 1) * (v2 - v1 + 1) - inside) > beta:
                    free = False
                    break
        if free:
            kept[count] = k
            count += 1
            if count == len(kept):
                break
    return count
