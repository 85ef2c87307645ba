"""What several tests share: files of other programs, a hub, small disks, kept domains, kills."""
