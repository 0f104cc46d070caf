"""Texts of the map of the district, in Chinese and English."""

from __future__ import annotations

from device_model.site import Text

MAP_TEXTS: dict[str, Text] = {
    "nav.map": Text("Map", "地图"),
    "map.title": Text("Map of the district", "辖区地图"),
    "map.how": Text("Map: arrow keys move it, plus and minus zoom, Tab goes from site to site",
                    "地图：方向键移动，加减键缩放，Tab 键在单位间切换"),
    "map.sites": Text("Sites", "单位"),
    "map.impaired": Text("not fully protected", "防护不完整"),
    "map.quiet": Text("no alarm", "无警情"),
    "map.nowhere": Text("no position in its site file: not on the map", "站点文件中没有位置，未显示在地图上"),
    "map.show": Text("Show on the map", "在地图上显示"),
    "map.lost": Text("gateway silent: what happens there is not known", "网关失联：现场情况未知"),
    "map.impairments": Text("{n} not protecting", "{n} 项失效"),
    "map.open": Text("{n} open", "{n} 起未结"),
    "map.more": Text("and {n} more on the board", "另有 {n} 起，见接警台"),
    "map.left_out": Text("{n} further sites are not drawn; the board has their alarms.",
                         "另有 {n} 个单位未绘出，其警情见接警台。"),
    "map.no_tiles": Text("The server of map pictures does not answer: what is drawn is our own, and current.",
                         "底图服务器无应答：当前显示的是本系统自有地图，警情仍为实时。"),
    "map.no_answer": Text("The map cannot be fetched: trying again. Alarms stand on the board.",
                          "无法获取地图，正在重试。警情请看接警台。"),
    "map.zoom_in": Text("Zoom in", "放大"),
    "map.zoom_out": Text("Zoom out", "缩小"),
    "map.whole": Text("All sites", "全部单位"),
    "map.way_in": Text("Way in", "进场口"),
}
