#ifndef RETORT_TESTS_SUPPORT_SMALL_FASHION_MNIST_H_
#define RETORT_TESTS_SUPPORT_SMALL_FASHION_MNIST_H_

#include <string>

namespace retort::testing {

// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr char kFashionMnist[] = "/usr/share/datasets/fashion-mnist";

// Writes the first images and labels of Fashion-MNIST as a data directory of
// its own (IDX files, not compressed), which loads in no time.
void WriteSmallFashionMnist(const std::string& dir, int train_images = 512,
                            int test_images = 256);

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_SMALL_FASHION_MNIST_H_
