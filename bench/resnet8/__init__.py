"""ResNet-8 trained sparse from scratch on CIFAR-10, and what its pruning costs and gains."""
