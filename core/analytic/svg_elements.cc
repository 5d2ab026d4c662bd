#include "core/analytic/svg_elements.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace retort::analytic {

std::string SvgText(double x, double y, const std::string& text,
                    const std::string& attributes) {
  const std::string escaped =
      absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y,
                         attributes, escaped);
}

std::string SvgLine(double x1, double y1, double x2, double y2,
                    const std::string& attributes) {
  return absl::StrFormat(
      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1,
      x2, y2, attributes);
}

std::string SvgRect(double x, double y, double width, double height,
                    const std::string& attributes) {
  return absl::StrFormat(
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" %s/>\n", x, y,
      width, height, attributes);
}

}  // namespace retort::analytic
