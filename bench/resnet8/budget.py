"""What share of each layer's weights is dropped for an overall sparsity.

At 75 % the first layers, whose weights see every pixel, keep more than the last, which hold three quarters of all
weights; the whole stays below 25 %.
"""

SPARSITY_75 = {
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
