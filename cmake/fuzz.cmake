# fuzz - tests/fuzz/fuzz_NAME.c, one parser each, over the kept corpus tests/fuzz/corpus/NAME/.
#
# Ordinarily each is linked with a main that replays its corpus and a fixed number of mutations of it, as a test. With
# FLEDGE_FUZZ=ON (clang) it is linked with libFuzzer instead: `fuzz_NAME -max_total_time=60 tests/fuzz/corpus/NAME`.
file(GLOB FUZZ_SOURCES CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${FUZZ_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE fuzz_ "" corpus ${name})
  if(FLEDGE_FUZZ)
    add_executable(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${source} tests/fuzz/replay.c)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${corpus})
  endif()
  target_compile_options(${name} PRIVATE ${WARNINGS} -Wno-missing-prototypes)
  target_compile_definitions(${name} PRIVATE ${STANDARDS})
  target_link_libraries(${name} PRIVATE fledge)
endforeach()
if(FLEDGE_FUZZ)
  target_compile_options(fledge PRIVATE -fsanitize=fuzzer-no-link)
endif()
