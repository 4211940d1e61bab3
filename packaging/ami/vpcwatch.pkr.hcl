# An Amazon Linux 2023 image with vpcwatch: packer init . && packer build -var package=vpcwatch.rpm -var sha256=... .
packer {
  required_plugins {
    amazon = {
      version = ">= 1.3.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "package" {
  type        = string
  description = "The rpm, of the builder's architecture"
}

variable "sha256" {
  type        = string
  description = "Its SHA-256"
}

variable "region" {
  type    = string
  default = "eu-west-3"
}

source "amazon-ebs" "al2023" {
  region        = var.region
  instance_type = "t3.micro"
  ssh_username  = "ec2-user"
  ami_name      = "vpcwatch-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  imds_support  = "v2.0"
  # Packer's own key for this build goes with the instance's memory.
  ssh_clear_authorized_keys = true

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*-x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
}

build {
  sources = ["source.amazon-ebs.al2023"]

  provisioner "file" {
    source      = var.package
    destination = "/tmp/vpcwatch.rpm"
  }

  provisioner "file" {
    source      = "${path.root}/verify.sh"
    destination = "/tmp/verify.sh"
  }

  provisioner "shell" {
    script          = "${path.root}/provision.sh"
    execute_command = "sudo bash {{ .Path }} /tmp/vpcwatch.rpm ${var.sha256}"
  }

  # Fails the build. The root of the builder is what becomes the image.
  provisioner "shell" {
    inline = ["sudo bash /tmp/verify.sh / && sudo rm -f /tmp/vpcwatch.rpm /tmp/verify.sh"]
  }
}
