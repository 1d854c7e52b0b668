"""What a host tells of its packets: conntrack.py (connections), kernel.py (lines of the kernel's
log), ulogd.py (packets, as ulogd2 writes them).
"""
