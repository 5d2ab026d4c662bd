#include "/work/wt/train/core/train/footprint.cc"
