// SPDX-License-Identifier: GPL-2.0
/*
 * What the proposed PCI/CMA code shows to userspace, for kernels that lack it: a keyring called ".cma", allocated with
 * the same owner, permissions and flags, and an "authenticated" file on each PCI function that is named when the module
 * is loaded. The files check nothing: they read what the parameter "verdict" says (1, 0, or a negative errno), and
 * writing "re" counts and leaves "after" as the verdict, as an authentication with other roots would.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/key.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sysfs.h>

#define MAX_FUNCTIONS 8

static char *functions[MAX_FUNCTIONS];
static unsigned int count;
module_param_array(functions, charp, &count, 0444);
MODULE_PARM_DESC(functions, "PCI functions, as 0000:00:04.0, that get the file");

static int verdict;
module_param(verdict, int, 0644);
MODULE_PARM_DESC(verdict, "what the files read, or the negative errno of reading them");

static int after = 1;
module_param(after, int, 0644);
MODULE_PARM_DESC(after, "the verdict once re was written");

static unsigned int rechecks;
module_param(rechecks, uint, 0444);
MODULE_PARM_DESC(rechecks, "how many times re was written");

static struct key *ring;
static struct pci_dev *devices[MAX_FUNCTIONS];

static ssize_t authenticated_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	int now = READ_ONCE(verdict);

	return now < 0 ? now : sysfs_emit(buf, "%d\n", !!now);
}

static ssize_t authenticated_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t size)
{
	int now = READ_ONCE(after);

	if (!sysfs_streq(buf, "re"))
		return -EINVAL;
	rechecks++;
	if (now < 0)
		return now;
	WRITE_ONCE(verdict, now);
	return now ? size : -EKEYREJECTED;
}
static DEVICE_ATTR_RW(authenticated);

static void remove_files(void)
{
	unsigned int i;

	for (i = 0; i < MAX_FUNCTIONS; i++) {
		if (!devices[i])
			continue;
		device_remove_file(&devices[i]->dev, &dev_attr_authenticated);
		pci_dev_put(devices[i]);
	}
}

static int add_file(const char *address, struct pci_dev **place)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *dev;
	int ret;

	if (sscanf(address, "%x:%x:%x.%u", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	dev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!dev)
		return -ENODEV;
	ret = device_create_file(&dev->dev, &dev_attr_authenticated);
	if (ret)
		pci_dev_put(dev);
	else
		*place = dev;
	return ret;
}

static int __init cma_standin_init(void)
{
	unsigned int i;
	int ret = 0;

	ring = keyring_alloc(".cma", GLOBAL_ROOT_UID, GLOBAL_ROOT_GID, current_cred(),
			     (KEY_POS_ALL & ~KEY_POS_SETATTR) | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_WRITE |
			     KEY_USR_SEARCH,
			     KEY_ALLOC_NOT_IN_QUOTA | KEY_ALLOC_SET_KEEP, NULL, NULL);
	if (IS_ERR(ring))
		return PTR_ERR(ring);
	for (i = 0; i < count && !ret; i++)
		ret = add_file(functions[i], &devices[i]);
	if (ret) {
		remove_files();
		key_put(ring);
	}
	return ret;
}

static void __exit cma_standin_exit(void)
{
	remove_files();
	key_put(ring);
}

module_init(cma_standin_init);
module_exit(cma_standin_exit);
MODULE_DESCRIPTION("A .cma keyring and authenticated files, for tests");
MODULE_LICENSE("GPL");
