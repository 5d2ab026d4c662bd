# cmake --install build/release --prefix /opt/retort: the programs in bin/, the
# libraries that they need in lib/retort, recipes, units and examples in share/.
# The tree can be moved or mounted as a whole: programs find their libraries
# from where they are themselves, and want of the system what every Debian has
# (glibc, libstdc++, zlib) and OpenSSL, whose mends should not wait for ours.

set(_programs retort-parity)
if(RETORT_SERVICE)
  list(APPEND _programs retortd retort retort-worker retort-simulate)
endif()

# LibTorch and CUDA as in the wheels, since LibTorch's libraries look for CUDA's
# at ../../nvidia/*/lib.
install(DIRECTORY ${RETORT_LIBTORCH}/torch/lib/ DESTINATION lib/retort/torch/lib
        COMPONENT libtorch FILES_MATCHING PATTERN "*.so*")
install(DIRECTORY ${RETORT_LIBTORCH}/nvidia/ DESTINATION lib/retort/nvidia
        COMPONENT libtorch FILES_MATCHING PATTERN "*.so*")

file(GLOB _folders RELATIVE ${RETORT_LIBTORCH} ${RETORT_LIBTORCH}/nvidia/*/lib)
list(PREPEND _folders torch/lib)
list(TRANSFORM _folders PREPEND "$ORIGIN/../lib/retort/")
list(JOIN _folders ":" _rpath)
string(PREPEND _rpath "$ORIGIN/../lib/retort:")
foreach(_p IN LISTS _programs)
  # Linked with it at once: CMake would keep the room with empty entries, which
  # are the current directory.
  set_target_properties(${_p} PROPERTIES
    INSTALL_RPATH "${_rpath}" BUILD_WITH_INSTALL_RPATH ON)
  # DT_RPATH, which libraries' own libraries are looked for in, too.
  target_link_options(${_p} PRIVATE -Wl,--disable-new-dtags)
endforeach()
install(TARGETS ${_programs} RUNTIME_DEPENDENCY_SET retort_libraries
        RUNTIME DESTINATION bin COMPONENT programs)
install(RUNTIME_DEPENDENCY_SET retort_libraries
        PRE_EXCLUDE_REGEXES
          "^ld-linux" "^lib(c|m|dl|rt|pthread|util|resolv|anl)\\.so"
          "^lib(stdc\\+\\+|gcc_s|z|ssl|crypto)\\.so"
          "^lib(torch|c10|gomp|cu|nccl|nv)"
        LIBRARY DESTINATION lib/retort COMPONENT programs)
# FindLibTorch has the linker name the build's folders, which CMake would leave.
string(REPLACE "$" "\\$" _rpath "${_rpath}")
foreach(_p IN LISTS _programs)
  if(_p MATCHES "^retort-(parity|worker)$")
    install(CODE "file(RPATH_SET
      FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin/${_p}\"
      NEW_RPATH \"${_rpath}\")" COMPONENT programs)
  endif()
endforeach()

install(DIRECTORY scripts/recipes DESTINATION share/retort COMPONENT programs)
install(DIRECTORY deploy DESTINATION share/retort COMPONENT programs)
install(FILES LICENSE README.md DESTINATION share/doc/retort COMPONENT programs)
install(DIRECTORY docs DESTINATION share/doc/retort COMPONENT programs)
