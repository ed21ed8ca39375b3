#!/usr/bin/env bash
# Prints the Homebrew formula of a version: `scripts/formula.sh VERSION`, in the directory of its archives.
set -euo pipefail

version="${1:?usage: scripts/formula.sh VERSION}"
# Two lines of the formula for a target.
source_of() {
  local archive="peerbroker-$version-$1.tar.gz"
  [ -f "$archive" ] || { echo "no formula: $archive is missing" >&2; exit 1; }
  echo "url \"https://github.com/peerbroker/peerbroker/releases/download/v$version/$archive\""
  echo "      sha256 \"$(sha256sum "$archive" | cut -d ' ' -f 1)\""
}
mac_arm="$(source_of aarch64-apple-darwin)"
mac_intel="$(source_of x86_64-apple-darwin)"
linux_arm="$(source_of aarch64-unknown-linux-musl)"
linux_intel="$(source_of x86_64-unknown-linux-musl)"
cat <<END
class Peerbroker < Formula
  desc "Self-hosted signalling server for PeerJS and WebRTC"
  homepage "https://github.com/peerbroker/peerbroker"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      $mac_arm
    end
    on_intel do
      $mac_intel
    end
  end

  on_linux do
    on_arm do
      $linux_arm
    end
    on_intel do
      $linux_intel
    end
  end

  def install
    bin.install "peerbroker"
    generate_completions_from_executable(bin/"peerbroker", "completions")
    (man1/"peerbroker.1").write Utils.safe_popen_read(bin/"peerbroker", "man")
  end

  service do
    run [opt_bin/"peerbroker", "--data_dir", var/"peerbroker"]
    keep_alive true
    log_path var/"log/peerbroker.log"
    error_log_path var/"log/peerbroker.log"
  end

  test do
    port = free_port
    broker = spawn bin/"peerbroker", "--port", port.to_s
    begin
      sleep 2
      system bin/"peerbroker", "doctor", "--quick", "--port", port.to_s
    ensure
      Process.kill "TERM", broker
      Process.wait broker
    end
  end
end
END
