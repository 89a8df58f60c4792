if ! PYTHON=$(find_python); then
  install_packages 'python3.11' 'python3' || install_packages 'python39' 'python3' || true
  PYTHON=$(find_python) || fail 'no Python of version 3.8 or later is there, and none could be installed; take an image that has it'
fi
if [ -n "$INSTALL" ] && ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
  install_packages 'python3-pip' 'python3-venv' || say 'python3-venv could not be installed; going on without'
fi
say "python is $PYTHON"
