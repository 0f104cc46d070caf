/* A Modbus device by libmodbus: the independent peer of the driver tests. It shares no line with the product.
 *
 *     modbus_peer tcp 0            prints "ready PORT"
 *     modbus_peer rtu /dev/pts/7   9600 8N1, prints "ready 0"
 *
 * Lines on standard input until "go" fill it:
 *     c ADDRESS BIT · d ADDRESS BIT · h ADDRESS WORD · i ADDRESS WORD
 * All tables have the addresses 0 to 999; registers 900 and up answer with exception 6 (busy), 950 and up with 4.
 * Each write is told on standard output: "FUNCTION ADDRESS VALUE…", the values as they stand afterwards.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CELLS = 1000, BUSY_FROM = 900, FAILED_FROM = 950, UNIT = 1 };

static modbus_mapping_t *fill(void)
{
    modbus_mapping_t *map = modbus_mapping_new(CELLS, CELLS, CELLS, CELLS);
    char line[128];
    unsigned address, value;

    while (map && fgets(line, sizeof line, stdin) && strncmp(line, "go", 2)) {
        if (sscanf(line + 1, "%u %u", &address, &value) == 2 && address < CELLS) {
            if (*line == 'c') map->tab_bits[address] = value;
            if (*line == 'd') map->tab_input_bits[address] = value;
            if (*line == 'h') map->tab_registers[address] = value;
            if (*line == 'i') map->tab_input_registers[address] = value;
        }
    }
    return map;
}

static void tell(const uint8_t *pdu, const modbus_mapping_t *map)
{
    int function = pdu[0], at = 1, several = function == 15 || function == 16 || function == 23;
    unsigned address, count = 1, i;

    if (function != 5 && function != 6 && function != 22 && !several) return;
    if (function == 23) at = 5;
    address = pdu[at] << 8 | pdu[at + 1];
    if (address >= CELLS) return; /* it was refused */
    if (several) count = pdu[at + 2] << 8 | pdu[at + 3];
    printf("%d %u", function, address);
    for (i = address; i < address + count && i < CELLS; i++)
        printf(" %u", function == 5 || function == 15 ? map->tab_bits[i] : map->tab_registers[i]);
    puts("");
    fflush(stdout);
}

static void serve(modbus_t *ctx, modbus_mapping_t *map, int forever)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int head = modbus_get_header_length(ctx), length;

    for (;;) {
        length = modbus_receive(ctx, query);
        if (length == -1) {
            if (!forever) return;
            if (errno != EMBBADCRC) usleep(1000);
            continue;
        }
        if (length == 0) continue; /* for another unit of the bus */
        unsigned address = query[head + 1] << 8 | query[head + 2];
        if (address >= FAILED_FROM && address < CELLS)
            modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_SLAVE_OR_SERVER_FAILURE);
        else if (address >= BUSY_FROM && address < CELLS)
            modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_SLAVE_OR_SERVER_BUSY);
        else if (modbus_reply(ctx, query, length, map) > 0)
            tell(query + head, map);
    }
}

int main(int argc, char **argv)
{
    int tcp = argc == 3 && !strcmp(argv[1], "tcp"), listener = -1, port = 0;
    modbus_t *ctx;
    modbus_mapping_t *map;

    if (argc != 3) return 2;
    ctx = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 9600, 'N', 8, 1);
    map = fill();
    if (!ctx || !map) return 3;
    modbus_set_slave(ctx, UNIT);
    if (tcp) {
        struct sockaddr_in own;
        socklen_t size = sizeof own;
        listener = modbus_tcp_listen(ctx, 4);
        if (listener == -1 || getsockname(listener, (struct sockaddr *)&own, &size)) return 4;
        port = ntohs(own.sin_port);
    } else if (modbus_connect(ctx) == -1) {
        return 5;
    }
    printf("ready %d\n", port);
    fflush(stdout);
    if (!tcp) serve(ctx, map, 1);
    while (modbus_tcp_accept(ctx, &listener) != -1) {
        serve(ctx, map, 0);
        modbus_close(ctx);
    }
    return 0;
}
