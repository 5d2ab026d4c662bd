#ifndef RETORT_CORE_NN_SONG_UNET_H_
#define RETORT_CORE_NN_SONG_UNET_H_

#include <memory>
#include <vector>

#include "core/nn/layers.h"
#include "core/nn/time_embedding.h"
#include "core/nn/unet.h"
#include "core/nn/unet_block.h"
#include "core/nn/unet_plan.h"

namespace retort::nn {

// The DDPM++ and NCSN++ networks of "Score-Based Generative Modeling through
// Stochastic Differential Equations" (Song et al. 2021), as EDM builds them.
class SongUNet : public UNet {
 public:
  // `config` must validate, with model_type "SongUNet".
  SongUNet(const NetworkConfig& config, WeightInit& draw);

  at::Tensor Forward(const at::Tensor& x, const UNetInputs& in) override;
  const at::Tensor& LastLayerWeight() const override;

 private:
  // A layer of the plan and the module that carries it out; the other two are
  // null.
  struct Layer {
    LayerPlan plan;
    std::shared_ptr<UNetBlock> block;
    std::shared_ptr<Conv2d> conv;
    std::shared_ptr<GroupNorm> norm;
  };

  std::vector<Layer> Build(const std::vector<LayerPlan>& plans,
                           const char* name, WeightInit& draw);
  // Time and labels to the vector that modulates every block.
  at::Tensor Embed(const at::Tensor& c_noise, const at::Tensor& label_term,
                   const at::Tensor& augment, const Linear& layer0,
                   const Linear& layer1) const;
  // What map_label adds to the embedding; undefined if unconditional.
  at::Tensor LabelTerm(const at::Tensor& labels, int64_t batch) const;

  const NetworkConfig config_;
  std::shared_ptr<TimeEmbedding> map_noise_;
  std::shared_ptr<Linear> map_label_, map_augment_;  // may be null
  std::shared_ptr<Linear> map_layer0_, map_layer1_;
  std::shared_ptr<Linear> map_layer0_s_, map_layer1_s_;  // null: one time
  std::vector<Layer> encoder_;
  std::vector<Layer> decoder_;
};

}  // namespace retort::nn

#endif  // RETORT_CORE_NN_SONG_UNET_H_
