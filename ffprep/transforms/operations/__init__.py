"""Operations on images beyond those of ffcv, under torchvision's names."""
