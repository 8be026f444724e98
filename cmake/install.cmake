# What `cmake --install` puts where: the command, liblethe as shared and static library, public headers, pkg-config file,
# man page and completion. The programs find the library relative to their own place, so any prefix or DESTDIR works.
include(GNUInstallDirs)

# liblethe.a: the objects of every module in one archive.
set(LETHE_ARCHIVE ${CMAKE_BINARY_DIR}/cli/liblethe.a)
set(mri "create cli/liblethe.a\n")
foreach(module IN LISTS LETHE_ALL_MODULES)
  string(APPEND mri "addlib $<TARGET_FILE_NAME:${module}>\n")
endforeach()
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/liblethe.mri CONTENT "${mri}save\nend\n")
add_custom_command(OUTPUT ${LETHE_ARCHIVE} WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${LETHE_ARCHIVE}
  COMMAND ${CMAKE_AR} -M < liblethe.mri
  COMMAND ${CMAKE_RANLIB} ${LETHE_ARCHIVE}
  DEPENDS ${LETHE_ALL_MODULES} ${CMAKE_BINARY_DIR}/liblethe.mri COMMENT "static library")
add_custom_target(lethe_static ALL DEPENDS ${LETHE_ARCHIVE})

# Whoever links the static library needs what it was built with. These come as shared libraries: Requires.private would
# ask for everything that their own static forms need.
set(LETHE_LIBS_PRIVATE "-lsodium -ljansson -lyaml -lsqlite3 -lzip -larchive -ljpeg -lpng -lz -lcurl -lsvm -lm -lpthread ${CMAKE_DL_LIBS}")
if(MICROHTTPD_FOUND)
  string(APPEND LETHE_LIBS_PRIVATE " -lmicrohttpd")
endif()
string(REGEX REPLACE "([ ;]|^)dl" "\\1-ldl" LETHE_LIBS_PRIVATE "${LETHE_LIBS_PRIVATE}")
if(LETHE_HAVE_ONEDNN)
  string(APPEND LETHE_LIBS_PRIVATE " -ldnnl")
endif()
if(OpenMP_C_FOUND)
  string(APPEND LETHE_LIBS_PRIVATE " ${OpenMP_C_FLAGS}")
endif()
# The prefix follows from where the file lies: `cmake --install --prefix` and DESTDIR may differ from the configured one.
file(RELATIVE_PATH LETHE_PC_UP /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
string(REGEX REPLACE "/$" "" LETHE_PC_UP "${LETHE_PC_UP}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/lethe.pc.in ${CMAKE_BINARY_DIR}/lethe.pc @ONLY)

set_target_properties(lethe PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
install(TARGETS lethe lethe_shared)
install(FILES ${LETHE_ARCHIVE} DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET lethe_cuda) # the toolkit may lie outside the places where the loader looks
  set_target_properties(lethe_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS lethe_cuda DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET lethe_mpi)
  install(TARGETS lethe_mpi DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/lethe DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.list")
install(FILES ${CMAKE_BINARY_DIR}/lethe.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(LETHE_MADE_DOCS "")
foreach(form man bash zsh fish)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/lethe.${form} COMMAND lethe --dump-docs ${form} > ${CMAKE_BINARY_DIR}/lethe.${form}
    DEPENDS lethe COMMENT "lethe --dump-docs ${form}")
  list(APPEND LETHE_MADE_DOCS ${CMAKE_BINARY_DIR}/lethe.${form})
endforeach()
add_custom_target(lethe_man ALL DEPENDS ${LETHE_MADE_DOCS})
install(FILES ${CMAKE_BINARY_DIR}/lethe.man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME lethe.1)
install(FILES ${CMAKE_BINARY_DIR}/lethe.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME lethe)
install(FILES ${CMAKE_BINARY_DIR}/lethe.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _lethe)
install(FILES ${CMAKE_BINARY_DIR}/lethe.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
