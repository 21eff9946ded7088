"""The challenger's daemon: runs other operators' results again and takes false ones to court."""
