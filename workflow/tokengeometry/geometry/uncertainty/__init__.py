"""How sure a number is: its standard error by the influence of every image, its bias in N by held-out folds."""
