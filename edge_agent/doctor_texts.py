"""What the doctor says: per key what is so and what to do, in English and Chinese. {…} are filled by `doctor.py`."""

# ruff: noqa: E501  each sentence in one line, whose Chinese counts double

from __future__ import annotations

from device_model.site import Text

NOTHING = Text("", "")

SENTENCES: dict[str, tuple[Text, Text]] = {
    "running": (Text("The gateway runs and answers.", "网关正在运行并有应答。"), NOTHING),
    "dead": (Text("No gateway answers: the site is NOT guarded by it.", "网关无应答：该站点目前未受其保护。"), NOTHING),
    "well": (Text("Nothing is wrong.", "未发现问题。"), NOTHING),
    "grade.notice": (Text("notice", "提示"), NOTHING),
    "grade.warning": (Text("warning", "警告"), NOTHING),
    "grade.critical": (Text("CRITICAL", "严重"), NOTHING),
    # running
    "not_journaled": (
        Text("The disk does not take records: alarms go from memory and are lost with the power.",
             "磁盘无法写入：报警仅从内存发送，断电即丢失。"),
        Text("Look for a full or read-only disk below; replace the card if `dmesg` shows I/O errors.",
             "检查磁盘是否已满或只读；若 dmesg 显示 I/O 错误，请更换存储卡。")),
    "part_hangs": (
        Text("The part “{subject}” hangs and could not be ended.", "部件“{subject}”挂起且无法结束。"),
        Text("systemd restarts the gateway within seconds; if not: systemctl restart tocsin-gateway.",
             "systemd 会在数秒内重启网关；否则执行 systemctl restart tocsin-gateway。")),
    "line_down": (
        Text("Line “{subject}” is down: its devices are not read.", "线路“{subject}”中断：其设备未被读取。"),
        Text("Check cable, power and address of the line; then `tocsin devices diagnose`.",
             "检查线路的接线、电源与地址，然后运行 tocsin devices diagnose。")),
    "devices_lost": (
        Text("{count} of {expected} devices are not heard.", "{expected} 台设备中有 {count} 台失联。"),
        Text("The local page and `tocsin gateway act state` name them: check power, wiring and radio.",
             "本地页面与 tocsin gateway act state 列出了这些设备：检查电源、接线与无线信号。")),
    "no_cloud": (
        Text("The site file names no cloud: alarms stay on site.", "站点文件未配置云端：报警仅限现场。"),
        Text("Nothing, if that is meant; else enrol the gateway and add `cloud:`.",
             "若属有意则无需处理；否则请为网关签发证书并添加 cloud:。")),
    "cloud_gone": (
        Text("The cloud is not reached: the site is guarded, and what happens is kept.",
             "无法连接云端：现场保护正常，数据已保存待传。"),
        Text("Check network, name server, date and the cloud's address; records follow by themselves.",
             "检查网络、域名解析、日期与云端地址；恢复后数据会自动补传。")),
    "link_down": (
        Text("The link “{subject}” to the cloud is down: there is no spare now.", "通往云端的链路“{subject}”中断：目前无备用链路。"),
        Text("Check its cable, or SIM card, credit and antenna of a cellular link.",
             "检查网线；蜂窝链路请检查 SIM 卡、余额与天线。")),
    "camera_down": (
        Text("Camera “{subject}” gives no picture.", "摄像机“{subject}”无画面。"),
        Text("Check its power and network and the address in the site file.", "检查其电源、网络与站点文件中的地址。")),
    "disabled": (
        Text("“{subject}” is disabled or in test by {who}: {why}", "“{subject}”已被 {who} 停用或处于测试：{why}"),
        Text("Restore it as soon as that is over.", "结束后请尽快恢复。")),
    "output_unproved": (
        Text("Output “{subject}” was switched and its proof did not come.", "输出“{subject}”已动作，但未得到回信证实。"),
        Text("Look at it on site; check the limit switch, flow or current input that proves it.",
             "到现场查看，并检查用于证实的限位、流量或电流输入。")),
    "backlog": (
        Text("{count} records wait for the cloud.", "{count} 条记录等待上传。"),
        Text("Nothing, if the link has just come back; else look at the link.", "链路刚恢复时无需处理；否则请检查链路。")),
    "restarts": (
        Text("The part “{subject}” was started again {count} times.", "部件“{subject}”已被重启 {count} 次。"),
        Text("The log says why: journalctl -u tocsin-gateway -p warning.",
             "原因见日志：journalctl -u tocsin-gateway -p warning。")),
    "failed_steps": (
        Text("{count} steps failed within the gateway.", "网关内部有 {count} 步处理失败。"),
        Text("Send the log to the maker; what stood was said again.", "请将日志发给厂家；已有状态已重新通报。")),
    # clock
    "clock_unset": (
        Text("The clock was never set: it shows a year before 2025.", "时钟未校准：显示的年份早于 2025。"),
        Text("Give the gateway a time server or a clock with a battery; times are corrected then.",
             "请配置时间服务器或带电池的时钟；之后时间会自动更正。")),
    "clock_doubt": (
        Text("The clock may be wrong by {seconds} s.", "时钟误差可能达 {seconds} 秒。"),
        Text("Check `chronyc tracking` and the way to the time server.", "检查 chronyc tracking 与时间服务器的连接。")),
    # machine
    "disk_read_only": (
        Text("The journal's disk is read-only.", "日志所在磁盘为只读。"),
        Text("The card is probably dying: replace it; for the time being restart the machine.",
             "存储卡可能已损坏，请更换；可先重启设备。")),
    "disk_full": (
        Text("The disk is {percent} % full, {free} MiB are free.", "磁盘已用 {percent}%，剩余 {free} MiB。"),
        Text("Remove what does not belong there, or lower journal_quota_mib.", "清理无关文件，或减小 journal_quota_mib。")),
    "worn": (
        Text("The flash memory says that {percent} % of its life is used.", "存储卡报告其寿命已用 {percent}%。"),
        Text("Copy site file and keys and replace the card soon.", "备份站点文件与密钥，尽快更换存储卡。")),
    "hot": (
        Text("The processor is at {celsius} °C.", "处理器温度为 {celsius}°C。"),
        Text("Give it air or shade; it slows down above 80 °C.", "改善通风或遮阳；超过 80°C 会降频。")),
    "memory": (
        Text("{percent} % of the memory is in use.", "内存已用 {percent}%。"),
        Text("See with `top` what else runs on this machine.", "用 top 查看其他占用内存的程序。")),
    "cpu": (
        Text("The processor is busy to {percent} %.", "处理器负载为 {percent}%。"),
        Text("See with `top` what else runs on this machine.", "用 top 查看其他占用处理器的程序。")),
    "mains_lost": (
        Text("The gateway runs on its battery.", "网关正由电池供电。"),
        Text("Restore the mains supply.", "请恢复主电。")),
    "battery_low": (
        Text("The backup battery holds {percent} %.", "后备电池电量 {percent}%。"),
        Text("Restore the mains supply; replace the battery if it does not charge.", "恢复主电；若无法充电请更换电池。")),
    "certificate_soon": (
        Text("The gateway's certificate ends in {days} days.", "网关证书将在 {days} 天后到期。"),
        Text("Enrol the gateway anew: tocsin cloud enrol.", "重新签发证书：tocsin cloud enrol。")),
    "certificate_over": (
        Text("The gateway's certificate has ended: the cloud does not let it in.", "网关证书已过期：云端拒绝连接。"),
        Text("Check the date; then enrol the gateway anew: tocsin cloud enrol.",
             "检查日期；然后重新签发证书：tocsin cloud enrol。")),
    # dead
    "site_file": (
        Text("The site file is refused: {subject}", "站点文件被拒绝：{subject}"),
        Text("Correct it; check with `tocsin site check`.", "请更正，并用 tocsin site check 检查。")),
    "silent_process": (
        Text("systemd calls the gateway active, but it does not answer: {subject}", "systemd 显示网关运行中，但无应答：{subject}"),
        Text("It may still be starting, or run under another site file or user; else restart it.",
             "可能仍在启动，或使用了其他站点文件或用户；否则请重启。")),
    "crash_loop": (
        Text("The gateway starts again and again ({count} times): {subject}", "网关反复重启（{count} 次）：{subject}"),
        Text("The last lines of journalctl -u tocsin-gateway say why.", "原因见 journalctl -u tocsin-gateway 的最后几行。")),
    "unit_failed": (
        Text("The service has failed: {subject}", "服务已失败：{subject}"),
        Text("journalctl -u tocsin-gateway says why; then systemctl restart tocsin-gateway.",
             "原因见 journalctl -u tocsin-gateway；之后执行 systemctl restart tocsin-gateway。")),
    "unit_stopped": (
        Text("The service is stopped.", "服务已停止。"),
        Text("Start it: systemctl enable --now tocsin-gateway.", "启动：systemctl enable --now tocsin-gateway。")),
    "not_running": (
        Text("No service of that name and no process answers: {subject}", "没有对应的服务，也没有进程应答：{subject}"),
        Text("Start it: tocsin gateway run --config …, or install the service.",
             "启动：tocsin gateway run --config …，或安装服务。")),
    "journal_absent": (
        Text("There is no journal yet: this gateway has never run.", "尚无日志库：该网关从未运行过。"),
        Text("Nothing; it is made at the first start.", "无需处理；首次启动时会自动创建。")),
    "journal_bad": (
        Text("The journal is damaged or cannot be read: {subject}", "日志库损坏或无法读取：{subject}"),
        Text("Run this as the gateway's user. If it is damaged: start the gateway; it sets the file aside, saves "
             "what it can and declares the rest.",
             "请以网关用户身份运行。若确已损坏：启动网关即可，它会隔离该文件、尽量恢复并申报其余损失。")),
    "key_fault": (
        Text("The key file {subject} cannot be used: {fault}", "密钥文件 {subject} 不可用：{fault}"),
        Text("Enrol the gateway (tocsin cloud enrol); files belong to its user, mode 0600.",
             "为网关签发证书（tocsin cloud enrol）；文件应属于网关用户，权限 0600。")),
    "waits_unsent": (
        Text("{count} records in the journal were not yet acknowledged by the cloud.", "日志库中有 {count} 条记录尚未得到云端确认。"),
        Text("They are sent after the next start.", "下次启动后会自动上传。")),
}
