#ifndef RETORT_CORE_ANALYTIC_SVG_ELEMENTS_H_
#define RETORT_CORE_ANALYTIC_SVG_ELEMENTS_H_

#include <string>

namespace retort::analytic {

// Attributes that the drawings share. Attributes rather than a style sheet: not
// every viewer knows CSS.
inline constexpr char kSvgTick[] = "font-size=\"11\" fill=\"#555\" ";
inline constexpr char kSvgLabel[] = "font-size=\"12\" fill=\"#222\" ";
inline constexpr char kSvgTitle[] = "font-size=\"13\" font-weight=\"bold\" ";
inline constexpr char kSvgMiddle[] = "text-anchor=\"middle\"";
inline constexpr char kSvgEnd[] = "text-anchor=\"end\"";

// One element each, with a newline. Text is escaped.
std::string SvgText(double x, double y, const std::string& text,
                    const std::string& attributes);
std::string SvgLine(double x1, double y1, double x2, double y2,
                    const std::string& attributes);
std::string SvgRect(double x, double y, double width, double height,
                    const std::string& attributes);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_SVG_ELEMENTS_H_
