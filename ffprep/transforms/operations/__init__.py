"""Operations beyond those of ffcv: on images, under torchvision's names, and on targets."""
