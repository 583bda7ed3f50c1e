"""healthy.py ADDRESS: end well if the server there answers. No proxy is asked."""

import sys
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(sys.argv[1], timeout=5).read()
