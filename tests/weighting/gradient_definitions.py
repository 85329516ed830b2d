"""Methods on the task gradients, written out from their definitions in NumPy.

Each takes task gradients of two batches `[steps, K, P]` and losses `[steps, K]`, and returns the
update and the weights of each step.
"""

import numpy as np


def simplex(values):
    """Projection by bisection on the shift: independent of sorting."""
    low, high = values.max() - 1.0, values.max()
    for _ in range(200):
        shift = (low + high) / 2
        low, high = (shift, high) if np.maximum(values - shift, 0).sum() > 1 else (low, shift)
    return np.maximum(values - high, 0)


def gradnorm(first, second, losses, alpha=1.5, rate=0.025, floor=1e-3, warmup=0, factors=1.0):
    num_tasks = first.shape[1]
    w, m, v, t, out = np.ones(num_tasks), 0.0, 0.0, 0, []
    start = losses[: max(warmup, 1)].mean(0)
    for step, (g, loss) in enumerate(zip(first, losses, strict=True)):
        out.append((w @ g, w))
        if step < warmup:
            continue
        lengths, t = np.linalg.norm(g, axis=1), t + 1
        r = loss / start / (loss / start).mean()
        d = (
            np.sign(w * lengths - (w * lengths).mean() * r**alpha * factors / np.mean(factors))
            * lengths
        )
        m, v = 0.9 * m + 0.1 * d, 0.999 * v + 0.001 * d**2
        w = w - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w = np.maximum(w, floor)
        w = w * num_tasks / w.sum()
    return out


def db_mtl(first, second, losses, beta=0.9, sigma=0.0, factors=1.0):
    m, out = 0.0, []
    for t, (g, loss) in enumerate(zip(first, losses, strict=True), 1):
        h = g / (loss[:, None] + 1e-8)
        m = h + beta / t**sigma * (m - h)
        lengths = np.linalg.norm(m, axis=1)
        w = factors * lengths.max() / (lengths + 1e-8)
        out.append((w @ m, w))
    return out


def excess_mtl(first, second, losses, step_size=0.01, warmup=0):
    w, a, risks, out = np.ones(first.shape[1]), 0.0, [], []
    for g in first:
        a = a + g**2
        e = (g**2 / np.sqrt(a + 1e-7)).sum(1)
        if len(risks) < max(warmup, 1):
            risks.append(e)
        else:
            w = w * np.exp(step_size * e / (np.mean(risks, 0) + 1e-7))
            w = w * len(w) / w.sum()
        out.append((w @ g, w))
    return out


def moco(first, second, losses, beta=0.1, gamma=0.1, rho=0.1):
    num_tasks = first.shape[1]
    y, w, out = np.zeros(first[0].shape), np.full(num_tasks, 1 / num_tasks), []
    for g in first:
        y = y - beta * (y - g)
        w = simplex(w - gamma * (y @ y.T + rho * np.eye(num_tasks)) @ w)
        out.append((y.T @ w, w))
    return out


def moco_libmtl(first, second, losses):
    num_tasks = first.shape[1]
    y, w, out = np.zeros(first[0].shape), np.full(num_tasks, 1 / num_tasks), []
    for t, (g, loss) in enumerate(zip(first, losses, strict=True), 1):
        g = loss[:, None] * g / np.linalg.norm(g, axis=1, keepdims=True)
        y = y - 0.5 / t**0.5 * (y - g)
        w = np.exp(w - 0.1 / t**0.5 * (y @ y.T) @ w)
        w = w / w.sum()
        out.append((y.T @ w, w))
    return out


def modo(first, second, losses, gamma=0.1, rho=0.1):
    w, out = np.full(first.shape[1], 1 / first.shape[1]), []
    for g, h in zip(first, second, strict=True):
        w = simplex(w - gamma * (g @ h.T @ w + rho * w))
        out.append((w @ (g + h), w))
    return out


def sdmgrad(first, second, losses, lam=0.3, lr=10.0, momentum=0.5, n_iter=20, p=None):
    num_tasks = first.shape[1]
    p = np.full(num_tasks, 1 / num_tasks) if p is None else p
    u, out = np.full(num_tasks, 1 / num_tasks), []
    for g, h in zip(first, second, strict=True):
        x = g @ h.T
        x = x / (np.sqrt(np.maximum(np.diag(x), 0)).mean() ** 2 + 1e-8)
        v = np.zeros(num_tasks)
        for _ in range(n_iter):
            v = momentum * v + x @ (u + lam * p)
            u = simplex(u - lr * v)
        w = (u + lam * p) / (1 + lam)
        out.append((w @ (g + h), w))
    return out


def trimmed_mean(first, second, losses, trim):
    ordered = np.sort(first, axis=1)[:, trim : first.shape[1] - trim]
    return [(g.mean(0), np.full(first.shape[1], 1 / first.shape[1])) for g in ordered]
