"""The kits that come with holdfast, one YAML file each."""
