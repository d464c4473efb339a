"""Reports as single HTML files that need no network.

Text, tables and pictures are all in the page itself.
"""

from oamip_model.page.html import Cell as Cell
from oamip_model.page.html import Page as Page
from oamip_model.page.html import Tone as Tone
from oamip_model.page.html import check_matplotlib as check_matplotlib
from oamip_model.page.plain_axes import COLOURS as COLOURS
from oamip_model.page.plain_axes import log_ticks as log_ticks
from oamip_model.page.plain_axes import plain as plain
