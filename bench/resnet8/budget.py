"""What share of each layer's weights is dropped, 75 % of all in sum.

`FIRST` is grown while the network learns from random weights. `SECOND` is what it is trained further with: the late
layers, which hold three quarters of all weights, bear more zeros than that, and what they give up goes to the early
ones, where every weight sees all pixels. Weights that were dropped return where their gradients ask for it.
"""

FIRST = {
    "stem": 0.30,
    "stage1_a": 0.70,
    "stage1_b": 0.70,
    "stage2_a": 0.70,
    "stage2_b": 0.72,
    "stage2_skip": 0.50,
    "stage3_a": 0.765,
    "stage3_b": 0.79,
    "stage3_skip": 0.56,
    "logits": 0.50,
}
SECOND = {
    "stem": 0.10,
    "stage1_a": 0.52,
    "stage1_b": 0.52,
    "stage2_a": 0.62,
    "stage2_b": 0.68,
    "stage2_skip": 0.30,
    "stage3_a": 0.78,
    "stage3_b": 0.84,
    "stage3_skip": 0.50,
    "logits": 0.30,
}
