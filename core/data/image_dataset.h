#ifndef RETORT_CORE_DATA_IMAGE_DATASET_H_
#define RETORT_CORE_DATA_IMAGE_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/data/dataset.h"

namespace retort::data {

struct ImageDatasetOptions {
  // Height and width that the images must have; 0: those of the first.
  int64_t resolution = 0;
  // Data sets whose pixels take no more bytes than this are decoded at once
  // and kept, so that a broken image is found at the start. Others are decoded
  // image by image as they are used, and take some 200 bytes an image.
  int64_t max_held_bytes = int64_t{512} << 20;
};

// Opens a zip file or a folder of PNG images, grey or RGB, all square and of
// one size, as EDM's training/dataset.py reads them: images in the order of
// their names (folders included, byte by byte), classes from dataset.json
// beside them (label_list.h), label_dim() the largest class and one, 0 if there
// is no dataset.json. Files of other types are left alone, but images that are
// no PNG are refused: EDM would take them.
//
// manifest_hash() is over names, sizes and CRC-32s of the images and of
// dataset.json (docs/formats.md), which cost no reading in a zip file. A zip
// file and the folder it unpacks to have the same.
//
// Errors, each with the file and what to do: NotFound; DataLoss for a damaged
// archive; InvalidArgument for everything that does not fit. Get() may give
// these too.
absl::StatusOr<std::unique_ptr<Dataset>> OpenImageDataset(
    const std::string& path, const ImageDatasetOptions& options = {});

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_IMAGE_DATASET_H_
