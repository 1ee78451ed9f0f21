"""Spellings of addresses inside a network. `{port}` is put in where a listener is to see whether anybody comes."""

# ruff: noqa: RUF001, E501 - the spellings are the point

from __future__ import annotations

HOSTS = [
    "127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1",
    "017700000001", "0300.0250.0.1", "127.0.0.1.", "0", "0.0.0.0", "0x0", "00", "localhost", "LOCALHOST", "localhost.",
    "a.localhost", "localhost.localdomain", "ip6-localhost", "router", "metadata", "metadata.google.internal",
    "printer.local", "db.internal", "wiki.corp", "nas.lan", "server.home.arpa", "intranet.private",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "169.254.170.2",
    "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.16689662", "100.64.0.1",
    "100.100.100.200", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "168.63.129.16", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]",
    "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::8.8.8.8]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2002:808:808::]",
    "[2001::1]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[fec0::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[100::1]", "[3fff::1]", "[5f00::1]", "[1::1]", "[4000::1]",
    "１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost", "ⓛocalhost", "169．254．169．254",
    "127.0.0.1%00.example.org", "%6c%6f%63alhost", "127.0.0.1%2eexample.org", "0x7f.example.0x1", "1.2.3.4.5",
    "256.256.256.256", "-whale.example.org", "whale..example.org", "example.org.", "_", "xn--", "ex ample.org",
]  # fmt: skip
"""As hosts of `https://HOST:PORT/mcp`."""

URLS = [
    "http://example.org/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/", "//127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/", "https:127.0.0.1:{port}", "https://", "https://:{port}/", "", "whale", "/mcp",
    "ftp://example.org/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "data:text/html,x", "javascript:1",
    "https://user@example.org/", "https://user:pass@127.0.0.1:{port}/", "https://example.org@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@example.org/", "https://example.org#@127.0.0.1:{port}/", "https://example.org/#x",
    "https://example.org\\@127.0.0.1:{port}/", "https://127.0.0.1:{port}\\.example.org/", "https://exa\tmple.org/",
    "https://example.org/\r\nhost: 127.0.0.1", " https://127.0.0.1:{port}/", "https://example.org:22/",
    "https://example.org:25/", "https://example.org:0/", "https://example.org:80/", "https://example.org:65536/",
    "https://example.org:-1/", "https://example.org:x/", "https://[::1/", "https://[whale]/", "https://" + "a" * 3000,
    "https://[::1]:{port}/", "HTTPS://127.0.0.1:{port}/", "wss://127.0.0.1:{port}/", "unix:/var/run/docker.sock",
]  # fmt: skip

ANSWERS = [
    ["127.0.0.1"], ["::1"], ["169.254.169.254"], ["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"],
    ["2606:4700::1111", "::1"], ["1.1.1.1", "fd00:ec2::254"], ["1.1.1.1", "64:ff9b::7f00:1"], ["::ffff:127.0.0.1"],
    ["fe80::1%lo"], ["0.0.0.0"], ["100.64.0.1"], ["2002:7f00:1::"], ["not an address"],
]  # fmt: skip
"""Of DNS for a name that looks well."""
