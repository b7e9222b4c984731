"""Images with boxes or masks in the layouts of COCO, Pascal VOC and ADE20K."""
