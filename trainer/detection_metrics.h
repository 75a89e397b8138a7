// COCO detection metrics: average precision by 101-point interpolation over IoU 0.50:0.05:0.95,
// average recall, by object size (Lin et al., 2014; the protocol of pycocotools). Plain C++, exact.
#pragma once

#include <cstdint>
#include <vector>

namespace vesalius::trainer {

struct GroundTruth {
  std::int64_t image = 0;
  int category = 0;
  double x = 0, y = 0, w = 0, h = 0;  // corner and extent
  double area = 0;                    // decides the size class
  bool crowd = false;                 // matches any number of detections, counts as none
};

struct Detection {
  std::int64_t image = 0;
  int category = 0;
  double x = 0, y = 0, w = 0, h = 0;
  double score = 0;
};

struct DetectionFigures {  // -1 where there is no ground truth
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
  std::vector<double> category_ap, category_ap50;  // by category id, [0, categories)
};

// `categories`: ids run from 0 to categories - 1. At most 100 detections an image and category
// count.
DetectionFigures CocoFigures(const std::vector<GroundTruth>& truths,
                             const std::vector<Detection>& detections, int categories);

}  // namespace vesalius::trainer
