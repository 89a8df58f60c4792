# The `docker` of Alibaba Cloud Linux is podman under another name, without a daemon; Docker's own packages lie on the
# cloud's mirror. https://help.aliyun.com/zh/ecs/user-guide/install-and-use-docker
install_docker_ce() {
  mirror=http://mirrors.cloud.aliyuncs.com
  curl -fsSL -o "$repository" "$mirror/docker-ce/linux/centos/docker-ce.repo" &&
    sed -i "s|https://mirrors.aliyun.com|$mirror|g" "$repository" &&
    dnf -q -y install dnf-plugin-releasever-adapter --repo alinux3-plus >/dev/null 2>&1 &&
    install_packages 'docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin' ''
}

repository="$ROOT/etc/yum.repos.d/docker-ce.repo"
if ! have docker && have dnf && grep -q '^ID="*alinux' "$ROOT/etc/os-release" 2>/dev/null && ! install_docker_ce; then
  rm -f "$repository"
  say 'docker-ce could not be installed; going on with what the system calls docker'
fi
need docker docker docker.io
if [ "$COMPOSE" = 1 ] && ! docker compose version >/dev/null 2>&1; then
  install_packages docker-compose-plugin docker-compose-v2 || say 'docker compose could not be installed'
fi
if ! docker info >/dev/null 2>&1 && have systemctl; then
  systemctl -q enable --now docker || fail 'docker is installed and could not be started'
fi
docker info >/dev/null 2>&1 || fail 'docker does not run on this machine: nothing answers as its daemon'
