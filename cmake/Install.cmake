# cmake --install build/release --prefix /opt/retort: the programs in bin/,
# LibTorch's libraries in lib/retort, recipes, units and examples in share/.
# The tree can be moved as a whole: programs find their libraries from where
# they are themselves.

set(_programs retort-parity)
if(RETORT_SERVICE)
  list(APPEND _programs retortd retort retort-worker retort-simulate)
endif()
install(TARGETS ${_programs} RUNTIME DESTINATION bin)

# As in the wheels, since LibTorch's libraries look for CUDA's at
# ../../nvidia/*/lib.
install(DIRECTORY ${RETORT_LIBTORCH}/torch/lib/ DESTINATION lib/retort/torch/lib
        FILES_MATCHING PATTERN "*.so*")
install(DIRECTORY ${RETORT_LIBTORCH}/nvidia/ DESTINATION lib/retort/nvidia
        FILES_MATCHING PATTERN "*.so*")
# What programs were linked with names the build's folders.
foreach(_p IN ITEMS retort-parity retort-worker)
  if(_p IN_LIST _programs)
    install(CODE "
      file(GLOB _cuda RELATIVE \"\${CMAKE_INSTALL_PREFIX}/lib/retort/nvidia\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/retort/nvidia/*/lib\")
      set(_rpath \"\\\$ORIGIN/../lib/retort/torch/lib\")
      foreach(_d IN LISTS _cuda)
        string(REGEX REPLACE \".*/([^/]*)/lib\$\" \"\\\\1\" _d \"\${_d}\")
        string(APPEND _rpath \":\\\$ORIGIN/../lib/retort/nvidia/\${_d}/lib\")
      endforeach()
      file(RPATH_SET FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin/${_p}\" NEW_RPATH \"\${_rpath}\")")
  endif()
endforeach()

install(DIRECTORY scripts/recipes DESTINATION share/retort)
install(DIRECTORY deploy DESTINATION share/retort)
install(FILES LICENSE README.md DESTINATION share/doc/retort)
