"""Published networks that metrics look with: Inception-v3, HED, IR-SE50. One file each, from published weights."""
