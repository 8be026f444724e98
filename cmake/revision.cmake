# Writes the revision of the sources into OUT, only when it has changed: "unknown" outside of a git checkout.
execute_process(COMMAND git -C ${DIR} describe --always --dirty --abbrev=12 OUTPUT_VARIABLE revision ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT revision)
  set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define LTI_REVISION \"${revision}\"\n")
