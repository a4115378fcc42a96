"""Sparse training and fine-tuning with torch (extra ``train``); everything else of Pumice does without torch."""
