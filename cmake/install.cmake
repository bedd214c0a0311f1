# install - program, library, public headers, pkg-config file, man page, completion.
#
# The public API is the headers of src/ themselves, so nothing is declared twice. They are installed flat, as
# <fledge/NOUN.h>, with their includes of each other rewritten; fledge/fledge.h includes them all. A header belongs
# to the API by being listed here, and may include only headers that are.
set(PUBLIC_HEADERS
    base/version.h base/err.h base/alloc.h base/arena.h base/file.h base/json.h base/log.h base/progress.h base/rng.h
    base/text.h base/thread.h
    hub/hub.h
    tensor/tensor.h tensor/quant.h graph/ops.def graph/op.h graph/graph.h backend/backend.h backend/program.h
    token/tokenizer.h token/template.h token/vocab.h model/model.h model/transform.h model/inspect.h
    data/batch.h data/corpus.h data/dataset.h data/pairs.h
    train/objective.h train/settings.def train/recipe.h train/schedule.h train/optimizer.h train/stepper.h train/trainer.h
    train/run.h
    infer/group.h infer/session.h infer/sampler_options.def infer/sampler.h infer/grammar.h infer/schema.h infer/generate.h infer/scheduler.h infer/prompt_cache.h
    infer/chat.h infer/perplexity.h)

set(include_dir ${CMAKE_BINARY_DIR}/include/fledge)
set(umbrella "/* fledge.h - all of the public API. */\n#ifndef FL_FLEDGE_H\n#define FL_FLEDGE_H\n\n")
foreach(header ${PUBLIC_HEADERS})
  get_filename_component(name ${header} NAME)
  if(name IN_LIST public_names)
    message(FATAL_ERROR "two public headers are called ${name}")
  endif()
  list(APPEND public_names ${name})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS src/${header})
  file(READ src/${header} text)
  string(REGEX MATCHALL "#include \"[a-z_/]+\\.(h|def)\"" includes "${text}")
  foreach(include ${includes})
    string(REGEX REPLACE "#include \"(.*)\"" "\\1" included "${include}")
    if(NOT included IN_LIST PUBLIC_HEADERS)
      message(FATAL_ERROR "src/${header} is public and includes ${included}, which is not (cmake/install.cmake)")
    endif()
  endforeach()
  string(REGEX REPLACE "#include \"[a-z]+/([a-z_]+\\.(h|def))\"" "#include \"fledge/\\1\"" text "${text}")
  file(CONFIGURE OUTPUT ${include_dir}/${name} CONTENT "${text}" @ONLY)
  if(name MATCHES "\\.h$")
    string(APPEND umbrella "#include \"fledge/${name}\"\n")
  endif()
endforeach()
file(CONFIGURE OUTPUT ${include_dir}/fledge.h CONTENT "${umbrella}\n#endif\n" @ONLY)

list(REMOVE_ITEM PC_REQUIRES jansson)  # which json.h shows, so it is required in public
list(REMOVE_ITEM PC_REQUIRES libcurl)  # its own static libraries are rarely there: it is linked shared, as -lcurl
list(JOIN PC_REQUIRES " " PC_REQUIRES_TEXT)
configure_file(cmake/fledge.pc.in fledge.pc @ONLY)

# The man page and the completion scripts are what the built program says about itself.
foreach(shell bash zsh fish)
  list(APPEND generate COMMAND fledge-cli completion ${shell} > fledge.${shell})
  list(APPEND generated fledge.${shell})
endforeach()
add_custom_command(OUTPUT fledge.1 ${generated} COMMAND fledge-cli help --man > fledge.1 ${generate} VERBATIM)
add_custom_target(describe ALL DEPENDS fledge.1 ${generated})

install(TARGETS fledge-cli RUNTIME)
install(TARGETS fledge fledge-shared)
install(DIRECTORY ${CMAKE_BINARY_DIR}/include/fledge TYPE INCLUDE)
install(FILES ${CMAKE_BINARY_DIR}/fledge.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/fledge.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_BINARY_DIR}/fledge.bash RENAME fledge DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/fledge.zsh RENAME _fledge DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${CMAKE_BINARY_DIR}/fledge.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
